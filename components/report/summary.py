"""The report in a few lines of Markdown: what a UI shows beside the page, without a picture."""

from ..run import ReportRecord, Run
from .figures import load_figures
from .tables import figure_table, markdown, round_table
from .wording import asked_for, sampled_by, what_trained


def summary(run: Run, report: ReportRecord) -> str:
    """Headline, figures, rounds and places. It names no training image."""
    figures = load_figures(run, report)
    headline = figures.headline
    lines = [f"## {headline.title}", "", headline.sentence, "", headline.quality, ""]
    if headline.smoke:
        lines += [f"This is a smoke run: {headline.smoke}.", ""]
    lines += markdown(figure_table(figures))
    stopped = f", stopped: {figures.provenance.stopped}" if figures.provenance.stopped else ""
    model = run.store.address(report.model_folder)
    lines += ["", f"{figures.provenance.rounds} of {_planned(figures.config)} rounds{stopped}.", ""]
    if figures.rounds:
        lines += [*markdown(round_table(figures)), ""]
    if asked := asked_for(figures.config):
        trained = what_trained(figures.config, figures.rounds)
        lines += [f"- base model: `{figures.provenance.base_model}`; trained: {trained}", f"- prompts: {asked}"]
    lines += [f"- sampler: {sampled_by(figures.config)}"]
    lines += [f"- run: `{run.url}`", f"- model: `{model}`", f"- both to a directory: `unecho pull {run.url} DIR`"]
    return "\n".join(lines) + "\n"


def _planned(config: dict[str, dict[str, object]]) -> object:
    return config["iet"]["rounds"]

"""The report in a few lines of Markdown: what a UI shows beside the page, without a picture."""

from ..measures.verdict import cited
from ..run import ReportRecord, Run
from .figures import Figures, load_figures
from .prompt_tables import counted, told_apart
from .tables import beside_table, figure_table, markdown, round_table, similarity_table, watch_table
from .wording import asked_for, ceiling_sentence, floor_choice, pixels_alone, sampled_by, search_sentence, what_trained


def summary(run: Run, report: ReportRecord) -> str:
    """Headline, figures, rounds or what was audited, and places. It names no training image."""
    figures = load_figures(run, report)
    headline = figures.headline
    lines = [f"## {headline.title}", "", headline.sentence, "", headline.quality, ""]
    if headline.smoke:
        lines += [f"This is a smoke run: {headline.smoke}.", ""]
    lines += markdown(figure_table(figures))
    if beside := beside_table(figures):
        lines += ["", *markdown(beside)]
    if chosen := floor_choice(figures):
        lines += ["", chosen]
    if figures.searched:
        lines += ["", search_sentence(figures.searched)]
    if ceiling := ceiling_sentence(cited(figures.memorization)):
        lines += ["", ceiling]
    if figures.descriptor:
        lines += ["", *markdown(similarity_table(figures.descriptor))]
    if alone := pixels_alone(figures.config, figures.resolution):
        lines += ["", f"{alone[:1].upper()}{alone[1:]}."]
    lines += _prompts(figures)
    source = figures.provenance
    lines += ["", *([f"- audit of {source.subject}"] if source.subject else _trained(figures))]
    if asked := asked_for(figures.config):
        lines += [f"- prompts: {asked}"]
    if sampler := sampled_by(figures.config):
        lines += [f"- sampler: {sampler}"]
    lines += [f"- forgotten: {figures.forgotten.sentence}"] if figures.forgotten else []
    lines += [f"- run: `{run.url}`"]
    if report.model_folder:
        lines += [f"- model: `{run.store.address(report.model_folder)}`"]
    lines += [f"- {'both' if report.model_folder else 'report'} to a directory: `unecho pull {run.url} DIR`"]
    return "\n".join(lines) + "\n"


def _trained(figures: Figures) -> list[str]:
    source = figures.provenance
    stopped = f", stopped: {source.stopped}" if source.stopped else ""
    selected = f" Model {source.released} released: {source.selected}." if source.selected else ""
    lines = [f"{source.rounds} of {_planned(figures.config)} rounds{stopped}.{selected}", ""]
    if figures.watched:
        lines += [*markdown(watch_table(figures)), ""]
    if figures.rounds:
        lines += [*markdown(round_table(figures)), ""]
    if trained := what_trained(figures.config, figures.rounds):
        lines += [f"- base model: `{source.base_model}`; trained: {trained}"]
    return lines


def _prompts(figures: Figures) -> list[str]:
    """What prompts give away, with no text of one."""
    found = figures.prompts
    if found is None:
        return []
    if found.unmeasured:
        return ["", f"Prompts are not measured: {found.unmeasured}."]
    return ["", *markdown(told_apart(found)), "", f"Prompts: {counted(found)}."]


def _planned(config: dict[str, dict[str, object]]) -> object:
    return config["iet"]["rounds"]

"""The report in a few lines of Markdown: what a UI shows beside the page, without a picture."""

from unecho.components.report.figures import load_figures
from unecho.components.report.tables import HEADER, table
from unecho.components.run import ReportRecord, Run


def markdown(run: Run, report: ReportRecord) -> str:
    """Headline, table and places. It names no training image."""
    figures = load_figures(run, report)
    said = figures.headline
    lines = [f"## {said.title}", "", said.sentence, "", said.quality, ""]
    if said.smoke:
        lines += [f"This is a smoke run: {said.smoke}.", ""]
    rows = [(HEADER.measure, HEADER.generated, HEADER.real, HEADER.says), ("---", "---", "---", "---")]
    rows += [(row.measure, row.generated, row.real, row.says) for row in table(figures)]
    lines += [f"| {' | '.join(_cell(cell) for cell in row)} |" for row in rows]
    stopped = f", stopped: {figures.provenance.stopped}" if figures.provenance.stopped else ""
    model = run.store.address(report.model_folder)
    lines += ["", f"{figures.provenance.rounds} of {_planned(figures.config)} rounds{stopped}.", ""]
    lines += [f"- run: `{run.url}`", f"- model: `{model}`", f"- both to a directory: `unecho pull {run.url} DIR`"]
    return "\n".join(lines) + "\n"


def _planned(config: dict[str, dict[str, object]]) -> object:
    return config["iet"]["rounds"]


def _cell(text: str) -> str:
    """`<` and `|` mean something in Markdown."""
    return text.replace("|", "\\|").replace("<", "&lt;")

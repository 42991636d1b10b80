"""unecho report: finished reports beside each other."""

import shlex
import textwrap
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from rich.console import Console

from ...components.failure import Fatal
from ...components.report.figures import load_figures
from ...components.report.tables import Table, aligned, markdown
from ...components.run import Run
from ..comparison.beside import LEGEND, Finished, Labels, Section, differences, labelled, remarks, sections
from ..comparison.beside_page import beside_page
from ..comparison.beside_tables import difference_table, narrow_tables, run_table, whole_tables
from ..finished import finished_report


def main(argv: Sequence[str]) -> None:
    """Show the figures of finished runs, and write them where asked."""
    arguments = parser().parse_args(argv)
    runs = _finished([Run.parse(address) for address in arguments.runs])
    every = sections(runs)
    command = f"unecho report {shlex.join(argv)}"
    if arguments.markdown:
        _write("--markdown", arguments.markdown, _markdown(runs, every, command))
    if arguments.out:
        _write("--out", arguments.out, beside_page(runs, command))
    if arguments.json:
        print(_Answer.of(runs, every).model_dump_json(indent=1))
    else:
        _show(Console(highlight=False, markup=False), runs, every)


def parser() -> ArgumentParser:
    """The command's options."""
    options = ArgumentParser(
        prog="unecho report",
        description="Finished reports beside each other: two models of one data set, before and after, a run and its "
        "audits. Figures that do not compare, being measured on other data or otherwise, are shown as such.",
    )
    options.add_argument("runs", metavar="RUN", nargs="+", help="ROOT/runs/NAME")
    options.add_argument("--json", action="store_true", help="one JSON object, and nothing else, on standard output")
    options.add_argument("--markdown", type=Path, metavar="FILE", help="write tables in Markdown too")
    options.add_argument("--out", type=Path, metavar="FILE.html", help="write a page too, without training images")
    return options


class _Run(BaseModel):
    label: str
    run: str
    verdict: str
    title: str
    smoke: str | None
    subject: str | None
    about: dict[str, str]
    seed: int
    dataset: str
    deciding: list[str]
    """Names of figures."""
    metrics: dict[str, float]


class _Line(BaseModel):
    section: str
    name: str
    cells: list[str]
    """One a run."""
    not_comparable: list[str]
    """What differs between the runs and keeps the cells from comparing."""


class _Answer(BaseModel):
    """What --json prints."""

    version: int = 1
    runs: list[_Run]
    lines: list[_Line]
    remarks: list[str]
    differences: dict[str, Labels]
    """Fields of the configuration: which runs have which value."""

    @classmethod
    def of(cls, runs: Sequence[Finished], every: Sequence[Section]) -> "_Answer":
        return cls(
            runs=[_Run(**_facts(run)) for run in runs],
            lines=[
                _Line(section=section.title, name=line.name, cells=list(line.cells), not_comparable=line.unlike)
                for section in every
                for line in section.lines
            ],
            remarks=remarks(runs, every),
            differences=differences(runs),
        )


def _facts(run: Finished) -> dict[str, Any]:
    figures = run.figures
    return {
        "label": run.label,
        "run": run.url,
        "verdict": figures.headline.decided,
        "title": figures.headline.title,
        "smoke": figures.headline.smoke,
        "subject": figures.provenance.subject,
        "about": run.about,
        "seed": figures.provenance.seed,
        "dataset": figures.provenance.dataset,
        "deciding": [m.name for m in figures.memorization if m.decides],
        "metrics": figures.metrics(),
    }


def show_beside(console: Console, runs: Sequence[Run]) -> None:
    """Print the reports of runs beside each other.

    Raises:
        Fatal: one has not ended.
    """
    finished = _finished(runs)
    _show(console, finished, sections(finished))


def _finished(runs: Sequence[Run]) -> list[Finished]:
    urls = [run.url for run in runs]
    if twice := next((url for url in urls if urls.count(url) > 1), None):
        raise Fatal(f"{twice}: given twice: name every run once")
    return labelled([(run.url, load_figures(run, finished_report(run, "report"))) for run in runs])


def _show(console: Console, runs: Sequence[Finished], every: Sequence[Section]) -> None:
    for run in runs:
        console.print(f"{run.label}  {run.url}", soft_wrap=True)
        for heading, text in run.about.items():
            _paragraph(console, f"   {heading:<9}  ", text)
        console.print()
    for remark in remarks(runs, every):
        _paragraph(console, "note: ", remark)
    for table in narrow_tables(runs, every):
        console.print()
        if table.title:
            _paragraph(console, "", table.title)
            console.print()
        for line in aligned(table):
            console.print(line, soft_wrap=True)
    table = difference_table(runs)
    console.print()
    _paragraph(console, "", LEGEND)
    console.print()
    console.print(table.title)
    console.print()
    for name, values in table.rows or [("nothing", "")]:
        _paragraph(console, "", f"{name}: {values}" if values else name, indent="    ")


def _paragraph(console: Console, start: str, text: str, indent: str | None = None) -> None:
    """Lines as wide as the terminal, under each other."""
    hanging = " " * len(start) if indent is None else indent
    lines = textwrap.wrap(text, console.width, initial_indent=start, subsequent_indent=hanging, break_on_hyphens=False)
    for line in lines:
        console.print(line, soft_wrap=True)


def _markdown(runs: Sequence[Finished], every: Sequence[Section], command: str) -> str:
    tables: list[Table] = [run_table(runs), *whole_tables(runs, every), difference_table(runs)]
    lines = [f"# {len(runs)} report{'s' * (len(runs) > 1)} beside each other", "", f"`{command}`", ""]
    lines += [line for remark in remarks(runs, every) for line in (f"* {remark}", "")]
    for table in tables:
        if table.rows:
            lines += [f"**{table.title}**", "", *markdown(table), ""]
    return "\n".join([*lines, f"{LEGEND[0].upper()}{LEGEND[1:]}.", ""])


def _write(option: str, path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    except OSError as error:
        raise Fatal(f"{option}: {path}: {error.strerror}: choose another file") from None

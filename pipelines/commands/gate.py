"""unecho gate: may a model be released?"""

import os
import textwrap
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.console import Console

from ...components.failure import DONE, Fatal
from ...components.log import emit
from ...components.report.figures import load_figures
from ...components.run import ReportRecord, Run
from ...components.run.released import ReleasedModel
from ...components.store.directory import DirectoryStore
from ..finished import finished_report
from ..gate.judging import judge
from ..gate.policy import PolicyFile, read_policy
from ..gate.result import Gate
from ..gate.rival import Rival, of_run, released_as
from ..gate.showing import as_junit, as_markdown, notes, outcome, places, text
from ..whole_file import whole_file

REFUSED: Final = 1
"""The exit status of a gate that is not passed."""
_SUMMARY: Final = "GITHUB_STEP_SUMMARY"


def main(argv: Sequence[str]) -> int:
    """Compare a report with a policy, and write the answer for people and for CI systems.

    Returns:
        The exit status: 0 passed, 1 not.
    """
    arguments = parser().parse_args(argv)
    policy = read_policy(arguments.policy)
    run = Run.parse(arguments.run)
    if (asked := policy.policy.compares) and not (arguments.model or arguments.against):
        raise Fatal(f"{arguments.policy}: {asked}: beside which model? give --model NAME or --against RUN")
    gate = gate_of(run, policy, _rival(run, arguments))
    for name, content in (
        ("gate.md", as_markdown(gate).encode()),
        ("gate.xml", as_junit(gate)),
        ("gate.json", f"{gate.model_dump_json(indent=1)}\n".encode()),  # last: who reads it finds the others
    ):
        _write(arguments.out / name, content)
    if summary := os.environ.get(_SUMMARY):
        _append(Path(summary), as_markdown(gate))
    if arguments.json:
        print(gate.model_dump_json(indent=1))
    else:
        _tell(Console(highlight=False, markup=False), gate)
    return DONE if gate.passed else REFUSED


def parser() -> ArgumentParser:
    """The command's options."""
    options = ArgumentParser(
        prog="unecho gate",
        description="Compare the report of a finished run, or of an audit, with the thresholds of a policy: the "
        "verdict, near-copies beside their floor, quality beside real images and beside the model now released.",
        epilog="Exit status: 0 passed, 1 not passed, 2 a mistake, which one line names.",
    )
    options.add_argument("run", metavar="RUN", help="ROOT/runs/NAME")
    options.add_argument("--policy", type=Path, required=True, metavar="FILE", help="YAML, such as docs/gate.yaml")
    rival = options.add_mutually_exclusive_group()
    rival.add_argument("--model", metavar="NAME", help="compared with what is released now as NAME, at RUN's root")
    rival.add_argument("--against", metavar="RUN", help="compared with this run or audit")
    options.add_argument(
        "--out",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="where gate.json, gate.xml (JUnit) and gate.md are written (default: here)",
    )
    options.add_argument("--json", action="store_true", help="gate.json on standard output, and nothing else")
    return options


def gate_of(run: Run, policy: PolicyFile, rival: Rival | None = None) -> Gate:
    """The answer of a policy on a run.

    Args:
        rival: whom it is compared with, where the policy compares.

    Raises:
        Fatal: it has not ended, or its report cannot be read.
    """
    report, rival = finished_report(run, "the gate"), rival or Rival()
    figures = load_figures(run, report)
    checks = judge(figures, policy.policy, rival.figures)
    return Gate(
        passed=all(check.passed for check in checks),
        run=run.url,
        report=run.store.address(report.objects["report.json"].key),
        report_sha256=report.objects["report.json"].sha256,
        pictures=_pictures(run, report),
        title=figures.headline.title,
        dataset=figures.provenance.dataset,
        model=rival.model,
        number=rival.number,
        against=rival.run,
        against_sha256=rival.report_sha256,
        policy=policy.policy,
        policy_sha256=policy.sha256,
        checks=checks,
    )


def _rival(run: Run, arguments: Namespace) -> Rival:
    if arguments.model:
        return released_as(ReleasedModel(run.store, arguments.model))
    return of_run(Run.parse(arguments.against)) if arguments.against else Rival()


def _pictures(run: Run, report: ReportRecord) -> str:
    """A path that a browser opens, or an address."""
    key = report.objects["report.html"].key
    return str(run.store.path(key)) if isinstance(run.store, DirectoryStore) else run.store.address(key)


def _tell(console: Console, gate: Gate) -> None:
    for line in text(gate):
        console.print(line, soft_wrap=True)
    console.print()
    for note in notes(gate):
        console.print("\n".join(textwrap.wrap(note, console.width, subsequent_indent="  ", break_on_hyphens=False)))
    console.print(*([""] if notes(gate) else []), outcome(gate), sep="\n")
    for heading, place in places(gate).items():
        console.print(f"{heading:<8} {place}", soft_wrap=True)


def _write(path: Path, content: bytes) -> None:
    """A file that is there whole or not at all."""
    try:
        with whole_file(path) as file:
            file.write(content)
    except OSError as error:
        raise Fatal(f"--out: {path}: {error.strerror}: choose another directory") from None


def _append(path: Path, summary: str) -> None:
    """The answer stands without it."""
    try:
        with path.open("a") as file:
            file.write(f"{summary}\n")
    except OSError as error:
        line = f"{_SUMMARY}: {path}: {error.strerror}: no summary is written"
        emit(line, shown=f"unecho: {line}", level="warning")

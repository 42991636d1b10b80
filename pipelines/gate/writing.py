"""A gate's answer where people and CI systems find it: files, a summary, the terminal."""

import os
import textwrap
from pathlib import Path
from typing import Final

from rich.console import Console

from ...components.failure import Fatal
from ...components.log import emit
from ..whole_file import whole_file
from .result import Gate
from .showing import as_junit, as_markdown, notes, outcome, places, text

_SUMMARY: Final = "GITHUB_STEP_SUMMARY"


def write_answer(gate: Gate, out: Path) -> None:
    """gate.md, gate.xml and gate.json in a directory, which is made; and the summary of a GitHub step.

    Raises:
        Fatal: they cannot be written there.
    """
    for name, content in (
        ("gate.md", as_markdown(gate).encode()),
        ("gate.xml", as_junit(gate)),
        ("gate.json", f"{gate.model_dump_json(indent=1)}\n".encode()),  # last: who reads it finds the others
    ):
        _write(out / name, content)
    if summary := os.environ.get(_SUMMARY):
        _append(Path(summary), as_markdown(gate))


def check_out(out: Path) -> None:
    """Whether the answer can be written in a directory, which need not be there yet; nothing is made.

    Raises:
        Fatal: it cannot.
    """
    place = next(path for path in (out.absolute(), *out.absolute().parents) if path.exists())
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        what = "not a directory" if not place.is_dir() else "cannot be written"
        raise Fatal(f"--out: {out}: {place}: {what}: choose another directory")


def tell(console: Console, gate: Gate) -> None:
    """The table, why checks failed, and where the report is."""
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

"""The example commands of the steps' READMEs, typed one after another, are a run."""

import re
import shlex
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from unecho.components.__main__ import main
from unecho.components.run import BeginRecord, ReportRecord, Run
from unecho.components.steps import STEPS
from unecho.pipelines.loop import Engine, Map, Single, iet

COMPONENTS = Path(__file__).parent.parent / "components"
SHELL = re.compile(r"```sh\n(.*?)```", re.DOTALL)


def example(step: str) -> str:
    """The one command line of a step's README."""
    lines = "\n".join(SHELL.findall((COMPONENTS / step / "README.md").read_text())).splitlines()
    assert len(lines) == 1, f"{step}: one example, so that no line goes untested: {lines}"
    return lines[0]


class Typist:
    """An engine that types the READMEs' lines; only the numbers after --round and --index change."""

    def __init__(self, root: Path, preset: str) -> None:
        """
        Args:
            preset: in place of the one that the plan's line names; two shares of it are packed before prepare.
        """
        self._root, self._run, self._preset = root, Run.at(str(root), "typed"), preset
        self._sizes: Callable[[str], int] = lambda over: self._run.config().sizes()[over]
        self.typed: list[str] = []

    def step(self, name: str, round: int | None = None) -> None:
        self._type(name, round, None)

    def map(self, name: str, round: int | None = None, *, over: str) -> None:
        for index in range(self._sizes(over)):
            self._type(name, round, index)

    def beside(self, *works: Single | Map) -> None:
        for work in works:
            work.on(self)

    def repeat(self, body: Callable[[Engine, int], None], over: str) -> None:
        for round in range(self._sizes(over)):
            self._type("begin", round, None)
            assert self._run.load(BeginRecord, round).decision == "go"
            body(self, round)

    def _type(self, name: str, round: int | None, index: int | None) -> None:
        line = example(name)
        for option, number in (("--round", round), ("--index", index)):
            assert (option in line) == (number is not None), line
            line = re.sub(rf"{option} \d+", f"{option} {number}", line)
        self.typed.append(line)
        line = re.sub(r"--preset \S+", f"--preset {self._preset} --set execution.prepare_parts=2", line)
        words = shlex.split(line.replace("ROOT/runs/NAME", f"{self._root}/runs/typed"))
        assert words[:3] == ["unecho", "step", name], line
        assert main(words[2:]) == 0, line


@pytest.fixture
def signals_as_before() -> Iterator[None]:
    """A step's command catches SIGTERM, as a pod's first process must; this process shall not go on doing so."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def test_the_examples_in_the_order_of_the_loop_end_in_a_report(tmp_path: Path, signals_as_before: None) -> None:
    typed = set[str]()
    for preset in ("tiny", "tiny-text-to-image"):
        typist = Typist(tmp_path / preset, preset)
        iet(typist)
        run = Run.at(str(tmp_path / preset), "typed")
        assert run.find(ReportRecord, run.config().iet.rounds) is not None
        typed.update(typist.typed)
    for step in STEPS:
        assert example(step) in typed, f"{step}: the README's line, as it stands, was one of those typed"

"""The loop recorded as a small tree, from which the pipeline is built inside out.

KFP refuses a pipeline that is opened inside another one's trace, so the loop cannot be run on KFP's own context
managers; it is run on an engine that only writes down what it is asked for.
"""

from collections.abc import Callable
from dataclasses import dataclass

from ...components.steps import STEPS
from ..loop import Engine


@dataclass(frozen=True)
class Single:
    """One step."""

    name: str


@dataclass(frozen=True)
class Beside:
    """Steps that do not need each other."""

    steps: tuple[Single, ...]


@dataclass(frozen=True)
class Map:
    """A step for every index of `over`."""

    name: str
    over: str


@dataclass(frozen=True)
class Repeat:
    """A sequence for every round, in order."""

    body: "Sequence"
    over: str


Node = Single | Beside | Map | Repeat
Sequence = tuple[Node, ...]


def traced(loop: Callable[[Engine], None]) -> Sequence:
    """What a loop asks of its engine, in order."""
    trace = _Trace(None)
    loop(trace)
    return tuple(trace.nodes)


class _Trace:
    """Writes down.

    Attributes:
        nodes: so far.
    """

    def __init__(self, round: int | None) -> None:
        self._round = round
        self.nodes: list[Node] = []

    def step(self, name: str, round: int | None = None) -> None:
        self.nodes.append(self._single(name, round))

    def map(self, name: str, round: int | None = None, *, over: str) -> None:
        self.nodes.append(Map(self._single(name, round).name, over))

    def beside(self, *steps: tuple[str] | tuple[str, int]) -> None:
        self.nodes.append(Beside(tuple(self._single(*step) for step in steps)))

    def repeat(self, body: Callable[[Engine, int], None], over: str) -> None:
        inner = _Trace(0)
        body(inner, 0)
        self.nodes.append(Repeat(tuple(inner.nodes), over))

    def _single(self, name: str, round: int | None = None) -> Single:
        """A step in a repetition is that of its own round: one body stands for all rounds."""
        assert round == (self._round if STEPS[name].by_round else None), (name, round)
        return Single(name)

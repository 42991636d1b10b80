"""The loop recorded as a small tree, from which the pipeline is built inside out.

KFP refuses a pipeline that is opened inside another one's trace, so the loop cannot be run on KFP's own context
managers; it is run on an engine that only writes down what it is asked for.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from ...components.steps import STEPS
from ..loop import Engine, Map, Single


@dataclass(frozen=True)
class Beside:
    """What does not need each other."""

    works: tuple[Single | Map, ...]


@dataclass(frozen=True)
class Repeat:
    """A sequence for every round, in order; what stands in it is of round 0."""

    body: "Sequence"
    over: str


Work = TypeVar("Work", bound=Single | Map)
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
        self.nodes.append(self._checked(Single(name, round)))

    def map(self, name: str, round: int | None = None, *, over: str) -> None:
        self.nodes.append(self._checked(Map(name, round, over=over)))

    def beside(self, *works: Single | Map) -> None:
        self.nodes.append(Beside(tuple(self._checked(work) for work in works)))

    def repeat(self, body: Callable[[Engine, int], None], over: str) -> None:
        inner = _Trace(0)
        body(inner, 0)
        self.nodes.append(Repeat(tuple(inner.nodes), over))

    def _checked(self, work: Work) -> Work:
        """A step in a repetition is that of its own round: one body stands for all rounds."""
        assert work.round == (self._round if STEPS[work.name].by_round else None), work
        return work

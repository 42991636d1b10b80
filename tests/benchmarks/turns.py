"""Two ways, timed in turns (A B A B ...), so that whatever else the machine does hits both alike."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
from statistics import median

Work = Callable[[], object]


@dataclass(frozen=True)
class Cost:
    """What one go took, in seconds: on the clock, and of processors (of ended child processes too).

    A machine that others use stretches the clock; processor time stays about the same.
    """

    wall: float
    cpu: float


@dataclass(frozen=True)
class Turns:
    """Pairs of goes, one of each way."""

    ours: list[Cost]
    other: list[Cost]

    def ratio(self, kind: str) -> str:
        """The median of the pairs' ratios, ours over the other's, and their range; `kind` is "wall" or "cpu"."""
        ratios = self._ratios(kind)
        return f"{median(ratios):.3f}x by {kind} ({min(ratios):.3f} to {max(ratios):.3f}, {len(ratios)} pairs)"

    def inverse(self, kind: str) -> str:
        """How many times as fast ours is."""
        ratios = [1 / ratio for ratio in self._ratios(kind)]
        return f"{median(ratios):.2f}x by {kind} ({min(ratios):.2f} to {max(ratios):.2f}, {len(ratios)} pairs)"

    def seconds(self, kind: str) -> tuple[float, float]:
        """Medians of ours and of the other's."""
        return median(getattr(c, kind) for c in self.ours), median(getattr(c, kind) for c in self.other)

    def _ratios(self, kind: str) -> list[float]:
        return [getattr(a, kind) / getattr(b, kind) for a, b in zip(self.ours, self.other, strict=True)]


def in_turns(ours: Work, other: Work, pairs: int) -> Turns:
    """Do both once to warm up, then in turns."""
    ours()
    other()
    costs = [(cost(ours), cost(other)) for _ in range(pairs)]
    return Turns([a for a, _ in costs], [b for _, b in costs])


def cost(work: Work) -> Cost:
    """Do it once."""
    wall, cpu = time.perf_counter(), _processor_seconds()
    work()
    return Cost(time.perf_counter() - wall, _processor_seconds() - cpu)


def _processor_seconds() -> float:
    spent = [getrusage(who) for who in (RUSAGE_SELF, RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in spent)

"""How a step tells what it is doing, without knowing who listens."""

import time
from typing import Any, Protocol

from .log import emit


def step_label(step: str, round: int | None, index: int | None) -> str:
    """A step at its address, such as "train 1 0": what the store, commands and tables count, all from 0."""
    return " ".join(str(part) for part in (step, round, index) if part is not None)


class Progress(Protocol):
    """Told by a step about itself, now and then; never once per inner step."""

    def update(self, done: int, total: int, unit: str, **figures: float) -> None:
        """
        Args:
            done, total: work done and work in all, in `unit` ("images", "steps").
            figures: what is worth seeing beside it, such as loss and skip_rate.
        """

    def note(self, text: str) -> None:
        """One line worth keeping: a warning, a count of skipped images."""


class Silent:
    """Listens to nothing."""

    def update(self, done: int, total: int, unit: str, **figures: float) -> None:
        pass

    def note(self, text: str) -> None:
        pass


class Lines:
    """Plain lines on stderr, a few a minute: for logs, and where there is no terminal."""

    def __init__(self, label: str, every_s: float = 10.0, **where: Any) -> None:
        """
        Args:
            label: stands before each line that people read.
            every_s: least time between two lines of one kind of work; its end is always told.
            where: what machines read in the label's place, such as step, round and index.
        """
        self._label, self._every_s = label, every_s
        self._where = where or {"step": label}
        self._last = time.monotonic()

    def update(self, done: int, total: int, unit: str, **figures: float) -> None:
        if done < total and time.monotonic() - self._last < self._every_s:
            return
        self._last = time.monotonic()
        beside = "".join(f", {name} {value:.4g}" for name, value in figures.items())
        self._emit(f"{done} of {total} {unit}{beside}", done=done, total=total, unit=unit, **figures)

    def note(self, text: str) -> None:
        self._emit(text)

    def _emit(self, text: str, **fields: Any) -> None:
        emit(text, shown=f"{self._label}: {text}", **self._where, **fields)

"""How far a run is, told from the keys below it and three of its records."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from itertools import count
from typing import Literal

from .address import Run
from .records import ModelRecord, Plan, ReportRecord


@dataclass(frozen=True)
class State:
    """How far a run is.

    Attributes:
        name: `planned` until its first round begins; `stopped`: by a rule, its report is not there yet.
        rounds: that are trained; planned: as many there are to be, 0 for an audit.
        stop: why the rounds ended early.
        released: rounds of the model that is reported; None until it is known.
        report: of the last model, when the run is done.
    """

    name: Literal["planned", "running", "stopped", "done"]
    rounds: int
    planned: int
    stop: str | None = None
    released: int | None = None
    report: ReportRecord | None = None

    def __str__(self) -> str:
        if not self.planned:
            return f"audit, {'done' if self.report else 'not done'}"
        if self.name == "planned":
            return f"planned, {_rounds(self.planned)}"
        if self.name == "running":
            return f"{self.rounds} of {_rounds(self.planned)} done"
        if self.stop:
            after = f"stopped after {self.rounds} of {_rounds(self.planned)}"
            return f"done, {after}{self._released()}" if self.report else after
        return f"done, {_rounds(self.rounds)}{self._released()}"

    def _released(self) -> str:
        earlier = self.released is not None and self.released != self.rounds
        return f", model {self.released} released" if earlier else ""


def state_of(run: Run, keys: Collection[str] | None = None) -> State:
    """The state of a run.

    Args:
        keys: all keys below the run, where they are known; None to list them.

    Raises:
        Fatal: it has no plan, or a record cannot be read; names it.
    """
    if keys is None:
        keys = {stat.key for stat in run.store.list(f"{run.prefix}/")}
    plans, models, begins = (_numbers(run, keys, place) for place in ("plans", "models", "begins"))
    config = run.load(Plan, max(plans, default=0)).config
    planned, last = config.rounds, max(models, default=0)
    stop = run.load(ModelRecord, last).stop if models else None
    if stop or last == planned:
        released = run.find_released(config, last)
        if f"{run.prefix}/reports/{last}.json" in keys:
            return State("done", last, planned, stop, released, run.load(ReportRecord, last))
        if stop:
            return State("stopped", last, planned, stop, released)
        return State("running" if begins else "planned", last, planned, released=released)
    return State("running" if begins else "planned", last, planned)


def ended_rounds(run: Run) -> int:
    """How many rounds have ended, from the first on: each has given the next one's model and assignment.

    Two listings, however many rounds there are. Whether another round may start is for its `begin` to say.
    """
    models, assignments = (
        _numbers(run, [stat.key for stat in run.store.list(f"{run.prefix}/{place}/")], place)
        for place in ("models", "assignments")
    )
    ended = {*models} & {*assignments}
    return next(round for round in count() if round + 1 not in ended)


def _numbers(run: Run, keys: Collection[str], place: str) -> list[int]:
    form = re.compile(rf"{re.escape(run.prefix)}/{place}/(\d+)\.json")
    return [int(found[1]) for key in keys if (found := form.fullmatch(key))]


def _rounds(count: int) -> str:
    return f"{count} round{'s' if count != 1 else ''}"

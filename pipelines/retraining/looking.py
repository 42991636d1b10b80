"""An engine that looks once the data set is there, before anything trains."""

from collections.abc import Callable

from ...components.run import DatasetRecord, ModelRecord, Plan, Run
from ..loop import Engine
from .outcome import Outcome


class Ended(Exception):
    """Nothing is to be trained.

    Attributes:
        outcome: how all has ended.
    """

    def __init__(self, outcome: Outcome) -> None:
        super().__init__()
        self.outcome = outcome


class Prepared(Exception):
    """The data set is there, and the run goes on elsewhere."""


class Looking:
    """An engine; the loop is left after the step `prepare` where `look` says how all has ended, and in any case where
    the run is trained elsewhere.
    """

    def __init__(self, engine: Engine, look: Callable[[], Outcome | None], *, elsewhere: bool = False) -> None:
        self._engine, self._look, self._elsewhere = engine, look, elsewhere
        self.map, self.beside, self.repeat = engine.map, engine.beside, engine.repeat

    def step(self, name: str, round: int | None = None) -> None:
        """Raises `Ended`, or `Prepared`."""
        self._engine.step(name, round)
        if name != "prepare":
            return
        if outcome := self._look():
            raise Ended(outcome)
        if self._elsewhere:
            raise Prepared


def leave_nothing(run: Run) -> None:
    """Remove a run that was planned and prepared and nothing else; its data set is of the root and stays."""
    if run.find(Plan, 0) and run.find(DatasetRecord) and run.find(ModelRecord, 0) is None:
        run.store.delete([stat.key for stat in run.store.list(f"{run.prefix}/")])

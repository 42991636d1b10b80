"""How a retraining leaves its loop once the data set is there, before anything trains."""

from ...components.run import DatasetRecord, ModelRecord, Plan, Run
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


def leave_nothing(run: Run) -> None:
    """Remove a run that was planned and prepared and nothing else; its data set is of the root and stays."""
    if run.find(Plan, 0) and run.find(DatasetRecord) and run.find(ModelRecord, 0) is None:
        run.store.delete([stat.key for stat in run.store.list(f"{run.prefix}/")])

"""Why a step failed for good, kept below the run: for `status`, and for engines that lose a pod's last words."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from pydantic import BaseModel, ConfigDict

from ..failure import Fatal
from ..progress import step_label
from ..store import find_parsed
from .address import Run
from .records import Plan


class Failure(BaseModel):
    """A step that cannot be helped by another try.

    Attributes:
        line: what the step said.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    step: str
    round: int | None = None
    index: int | None = None
    line: str

    def __str__(self) -> str:
        """In one line: "train 1 0: the loss is not a number"."""
        return f"{step_label(self.step, self.round, self.index)}: {self.line}"


@contextmanager
def kept_failure(run: Run, step: str, round: int | None = None, index: int | None = None) -> Iterator[None]:
    """What ends the block for good is kept below the run, where another machine reads it.

    Not below a run without a plan, which a mistyped address may be; unless it is `plan` that fails.
    """
    try:
        yield
    except Fatal as error:
        with suppress(Fatal, OSError):  # the store itself is what failed: the line is in the log
            if step == "plan" or run.store.stat(run.key(Plan, 0)):
                note_failure(run, Failure(step=step, round=round, index=index, line=str(error)))
        raise


def note_failure(run: Run, failure: Failure) -> None:
    """Keep a failure. No result: the same address may fail again with another line, which replaces it."""
    name = step_label(failure.step, failure.round, failure.index).replace(" ", "-")
    run.store.put(f"{_prefix(run)}{name}.json", failure.model_dump_json(indent=1, exclude_none=True).encode())


def failures(run: Run) -> list[Failure]:
    """Those since the run was last started, in the order of their names; steps done since may be among them."""
    found = (find_parsed(run.store, key, Failure) for key in _keys(run))
    return [failure for failure in found if failure is not None]


def forget_failures(run: Run) -> None:
    """The run is started again."""
    run.store.delete(list(_keys(run)))


def _prefix(run: Run) -> str:
    return f"{run.prefix}/failures/"


def _keys(run: Run) -> Iterator[str]:
    return (stat.key for stat in run.store.list(_prefix(run)))

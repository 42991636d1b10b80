"""Why a step failed for good, kept below the run for engines that lose a pod's last words."""

from collections.abc import Iterator

from pydantic import BaseModel, ConfigDict

from ..store import find_parsed
from .address import Run


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


def note_failure(run: Run, failure: Failure) -> None:
    """Keep a failure. No result: the same address may fail again with another line, which replaces it."""
    name = "-".join(str(part) for part in (failure.step, failure.round, failure.index) if part is not None)
    run.store.put(f"{_prefix(run)}{name}.json", failure.model_dump_json(indent=1, exclude_none=True).encode())


def failures(run: Run) -> list[Failure]:
    """Those since the run was last started, in the order of their names."""
    found = (find_parsed(run.store, key, Failure) for key in _keys(run))
    return [failure for failure in found if failure is not None]


def forget_failures(run: Run) -> None:
    """The run is started again."""
    run.store.delete(list(_keys(run)))


def _prefix(run: Run) -> str:
    return f"{run.prefix}/failures/"


def _keys(run: Run) -> Iterator[str]:
    return (stat.key for stat in run.store.list(_prefix(run)))

"""The watch's looks at a run's models, and the rule by which one of them is released."""

from collections.abc import Mapping

from ..config import RunConfig
from ..config.counts import is_watched, looks
from .address import Run
from .records import DatasetRecord, Look, WatchRecord


def is_due(run: Run, config: RunConfig, round: int) -> bool:
    """Whether the watch looks at model `round`."""
    return is_watched(config, run.load(DatasetRecord).train_samples, round)


def planned_looks(run: Run, config: RunConfig) -> int:
    """How many models of the run are looked at when all its rounds are done."""
    return looks(config, run.load(DatasetRecord).train_samples)


def looks_before(run: Run, round: int) -> dict[int, Look]:
    """The looks at models 0 to `round` - 1, by the model."""
    found = ((number, run.find(WatchRecord, number)) for number in range(round))
    return {number: record.look for number, record in found if record and record.look}


def at_floor(looks: Mapping[int, Look]) -> tuple[int, str]:
    """The model that `release.select` at_floor takes, and why.

    The latest that was at its floor; where none was, the latest that was not seen above it; else the first, which had
    the least time to memorize.

    Args:
        looks: at least one.
    """
    for verdict, why in (("at_or_below", "at its floor"), ("unclear", "not seen above its floor, nor cleared")):
        found = [number for number, look in looks.items() if look.verdict == verdict]
        if found:
            return max(found), f"the latest of {_models(len(looks))} that was {why}"
    return min(looks), f"the first of {_models(len(looks))}: all were above their floor"


def _models(count: int) -> str:
    return f"{count} watched model{'s' if count != 1 else ''}"

"""Which objects below a root are left over: decided from a listing and from what the manifests name."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from unecho.components.run.keys import PROGRESS, is_data, is_object, progress_of
from unecho.components.run.naming import Holdings
from unecho.components.store import Stat


class Why(StrEnum):
    """Why nobody needs an object."""

    UNNAMED = "no record names it"
    UNNAMED_DATA = "no data set names it"
    RETIRED = "retired, and there again"
    ENDED = "progress of work that is done"
    ABANDONED = "progress that was given up"


@dataclass(frozen=True)
class Leftover:
    """An object that can go."""

    stat: Stat
    why: Why


def leftovers(holdings: Holdings, before: float, *, abandoned: bool = False) -> list[Leftover]:
    """What can go, sorted by key.

    Only keys of the form that Unecho writes are judged: whatever else a user keeps below the root is
    never a left-over. A manifest is none either, except one of progress that is done or given up.

    Args:
        before: seconds since the epoch; an object written later may be a live step's, which names
            it last, and is spared.
        abandoned: progress of which nothing was written later counts as given up: the checkpoints of
            a proxy that is not committed, the parts of a prepare that did not end.
    """
    given_up = _idle(holdings, before) - holdings.ended if abandoned else set[str]()
    in_progress = {key for work, keys in holdings.in_progress.items() if work not in given_up for key in keys}
    named = (holdings.named | in_progress) - holdings.retired
    decide = _decision(holdings, named, given_up)
    old = (stat for stat in holdings.listing if stat.modified <= before)
    found = [Leftover(stat, why) for stat in old if (why := decide(stat.key))]
    return sorted(found, key=lambda leftover: leftover.stat.key)


def _idle(holdings: Holdings, before: float) -> set[str]:
    """Unfinished work of which nothing was written later."""
    works: dict[str, bool] = {}
    for stat in holdings.listing:
        if (work := progress_of(stat.key)) is not None:
            works[work] = works.get(work, True) and stat.modified <= before
    return {work for work, idle in works.items() if idle}


def _decision(holdings: Holdings, named: set[str], given_up: set[str]) -> Callable[[str], Why | None]:
    def decide(key: str) -> Why | None:
        if (work := progress_of(key)) is not None:
            if work in holdings.ended:
                return Why.ENDED
            if work in given_up:
                return Why.ABANDONED
            is_manifest = key.endswith(".json")
            return None if is_manifest or key in named else _unnamed(key)
        if key in named or not (is_object(key) or is_data(key)):
            return None
        return Why.RETIRED if key in holdings.retired else _unnamed(key)

    return decide


def _unnamed(key: str) -> Why:
    return Why.UNNAMED_DATA if is_data(key) or key.startswith(PROGRESS) else Why.UNNAMED

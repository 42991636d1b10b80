"""Whether a model that a run starts from has been trained on what is to be forgotten."""

from collections.abc import Iterator, Sequence

from ..failure import Fatal
from ..store import Store
from .address import Run
from .forgotten import Request
from .records import Plan, ReleasedBase
from .released import Release, ReleasedModel


def found_in(requests: Sequence[Request], dataset: str) -> dict[int, int] | None:
    """Training samples of a data set by the number of the requests that found some there when they were recorded; None
    where the data set came after one of these.

    Args:
        dataset: its digest.
    """
    counts = dict[int, int]()
    for request in requests:
        before = next((one for one in request.held if one.dataset == dataset), None)
        if before is None:
            return None
        if before.training:
            counts[request.number] = before.training
    return counts


def applied_to(store: Store, run: str) -> int:
    """Requests 1 to this one applied to a run, by its name; 0 where it was removed."""
    return plan.forgotten if (plan := _plan(store, run)) else 0


def started_from_forgotten(store: Store, plan: Plan, requests: Sequence[Request]) -> str | None:
    """The released model that a run starts from, or one that this one started from, which was trained on samples that
    requests ask for: in words; None where none was, as far as the requests have found when they were recorded.
    """
    for release in _line_of(store, plan.released):
        later = [request for request in requests if request.number > applied_to(store, release.run)]
        if counts := found_in(later, release.dataset):
            return f"{release.model} number {release.number}, trained on {in_words(counts)}"
    return None


def in_words(counts: dict[int, int]) -> str:
    """Counts by the number of a request."""
    some = ", ".join(f"{count:,} by request {number}" for number, count in counts.items())
    return f"samples that are to be forgotten: {some}"


def _line_of(store: Store, base: ReleasedBase | None) -> Iterator[Release]:
    """A released model, what it started from, and so on, as far as records are there."""
    while base is not None:
        try:
            release = ReleasedModel(store, base.model).load(base.number)
        except Fatal:  # its history was removed
            return
        yield release
        plan = _plan(store, release.run)
        base = plan.released if plan else None


def _plan(store: Store, name: str) -> Plan | None:
    run = Run(store, name)
    return run.plan() if run.find(Plan, 0) else None

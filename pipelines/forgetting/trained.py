"""Which released models were trained on samples that are to be forgotten."""

from collections.abc import Sequence

from ...components.data.manifest import find_manifest
from ...components.run import Plan, Run
from ...components.run.forgotten import Request, lines_of, newest_request, requests_through
from ...components.run.released import Release
from ...components.store import Store
from .held import Held, held_by
from .recorded import Affected


def trained_on_forgotten(store: Store, releases: Sequence[Release]) -> dict[str, str]:
    """What is to be said of releases, by their name and number, where there is something.

    By what the requests have found when they were recorded; a data set that came later is looked into. A held-out
    sample was not trained on.
    """
    requests = requests_through(store, newest_request(store))
    found, held = dict[str, str](), list[Held]()
    for release in releases if requests else ():
        later = [request for request in requests if request.number > _applied(store, release)]
        counts = _counted(later, release.dataset)
        if later and counts is None and find_manifest(store, release.dataset) is not None:
            held = held or held_by(store)
            counts = _looked_up(later, next(one for one in held if one.digest == release.dataset))
        if counts is None:
            gone = "its data set was removed: whether it was trained on samples that are to be forgotten is not known"
            found |= {str(release): gone} if later else {}
        elif counts:
            some = ", ".join(f"{count:,} by request {number}" for number, count in counts.items())
            found[str(release)] = f"was trained on samples that are to be forgotten: {some}"
    return found


def _applied(store: Store, release: Release) -> int:
    """Requests 1 to this one applied to its run; 0 where the run was removed."""
    run = Run(store, release.run)
    return run.plan().forgotten if run.find(Plan, 0) else 0


def _counted(requests: Sequence[Request], digest: str) -> dict[int, int] | None:
    """Training samples of a data set by the requests that found some; None where it came after one of these."""
    counts = dict[int, int]()
    for request in requests:
        before = next((one for one in request.held if one.dataset == digest), None)
        if before is None:
            return None
        if before.training:
            counts[request.number] = before.training
    return counts


def _looked_up(requests: Sequence[Request], held: Held) -> dict[int, int]:
    found = {one.number: Affected(held, held.asked_for(lines_of([one]))).training for one in requests}
    return {number: count for number, count in found.items() if count}

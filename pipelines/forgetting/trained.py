"""Which released models were trained on samples that are to be forgotten."""

from collections.abc import Sequence

from ...components.data.manifest import find_manifest
from ...components.run import Plan, Run
from ...components.run.forgotten import Request, lines_of, newest_request, requests_through
from ...components.run.forgotten_base import applied_to, found_in, in_words, started_from_forgotten
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
        later = [request for request in requests if request.number > applied_to(store, release.run)]
        counts = found_in(later, release.dataset)
        if counts is None and find_manifest(store, release.dataset) is not None:
            held = held or held_by(store)
            counts = _looked_up(later, next(one for one in held if one.digest == release.dataset))
        if counts is None:
            found[str(release)] = "may have been trained on samples that are to be forgotten: its data set was removed"
        elif counts:
            found[str(release)] = f"was trained on {in_words(counts)}"
        elif base := _base(store, release, requests):
            found[str(release)] = f"started from {base}"
    return found


def _base(store: Store, release: Release, requests: Sequence[Request]) -> str | None:
    run = Run(store, release.run)
    return started_from_forgotten(store, run.plan(), requests) if run.find(Plan, 0) else None


def _looked_up(requests: Sequence[Request], held: Held) -> dict[int, int]:
    found = {one.number: Affected(held, held.asked_for(lines_of([one]))).training for one in requests}
    return {number: count for number, count in found.items() if count}

"""Removing left-overs beside runs that are alive."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from unecho.components.run.leftovers import Leftover, leftovers
from unecho.components.run.naming import Naming
from unecho.components.store import Store

_BATCH = 1000
"""As many as one S3 request removes."""
_THREADS = 16


def remove(
    store: Store, naming: Naming, found: Sequence[Leftover], before: float, *, abandoned: bool = False
) -> Iterator[Leftover]:
    """Remove those that still are left-overs, a batch at a time.

    Before each batch the manifests are read again, then each object's time is: what a run has taken up
    since the listing is spared. A step writes its objects anew before it names them, which makes them
    young; a prepare takes up a chunk without writing it, and names it at once. So what is left is the time
    from this last look to the request that removes, about a second for a root of ordinary size: only
    a left-over older than the grace period that a run started meanwhile writes or takes up in just that
    moment is lost. A run that was alive before is safe, because all that it counts on and has not named
    yet is younger than the grace period. The reader of a lost object would stop with its name.

    Args:
        found, before, abandoned: of `leftovers`.

    Yields:
        what is gone.
    """
    with ThreadPoolExecutor(_THREADS) as threads:
        for batch in (found[first : first + _BATCH] for first in range(0, len(found), _BATCH)):
            still = {leftover.stat.key for leftover in leftovers(naming.look(), before, abandoned=abandoned)}
            some = [leftover for leftover in batch if leftover.stat.key in still]
            stats = threads.map(lambda leftover: store.stat(leftover.stat.key), some)
            gone = [one for one, stat in zip(some, stats, strict=True) if stat and stat.modified <= before]
            store.delete([leftover.stat.key for leftover in gone])
            yield from gone

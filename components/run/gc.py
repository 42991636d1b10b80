"""Which objects below a root nobody needs, and how they are removed beside runs that are alive.

Found by a listing and by what the manifests name: for cleaning up, never on a hot path.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from pydantic import BaseModel, ValidationError

from ..data.encoded_block import EncodedBlock
from ..data.manifest import ChunkRef, find_manifest, find_prepared
from ..failure import Fatal
from ..store import Stat, Store, find_parsed
from .address import (
    DATASETS,
    ENCODINGS,
    MODELS,
    PROGRESS,
    RUNS,
    Run,
    data_manifest_of,
    is_data,
    is_encoded_block,
    is_object,
    progress_of,
    record_at,
    release_at,
    source_of,
)
from .checkpoints import Checkpoint, batches_prefix, checkpoints_prefix
from .records import BeginRecord, ProxyRecord, Record, SamplesRecord
from .released import Release

_THREADS = 16
_CHECKPOINTS_OF: Final[dict[type[Record], Callable[..., str]]] = {
    ProxyRecord: checkpoints_prefix,
    SamplesRecord: batches_prefix,
}
"""Where the progress of what a record commits is, by the run and the record's index."""


@dataclass
class Contents:
    """What stands below a root, and what its manifests say of it.

    Attributes:
        listing: every object below runs/, datasets/, encodings/ and models/.
        named: keys that a record or the manifest of a data set names.
        retired: keys that a begin has retired; they may be among the named ones.
        released: keys that a released model or its history names: they stay, whatever else is said of them.
        in_progress: keys that unfinished work names, by the prefix of that work.
        ended: prefixes of work that was unfinished once: its result is committed.
    """

    listing: list[Stat] = field(default_factory=list)
    named: set[str] = field(default_factory=set)
    retired: set[str] = field(default_factory=set)
    released: set[str] = field(default_factory=set)
    in_progress: dict[str, set[str]] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)


class _Part(BaseModel):
    """What prepare keeps of a finished part, as far as it names something."""

    chunk: ChunkRef | None


@dataclass(frozen=True)
class _Named:
    """What one manifest says."""

    named: frozenset[str] = frozenset()
    retired: frozenset[str] = frozenset()
    released: frozenset[str] = frozenset()
    ended: str | None = None


class Manifests:
    """Reads the manifests of a root; one that it has read, and that did not change, is not read again."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._read: dict[Stat, _Named] = {}

    def read(self) -> Contents:
        """List and read, in an order that loses no name on its way.

        When a data set is committed, the names of its chunks move from the parts of the prepare to the
        manifest. So the parts are read first: what has left them before stands in a manifest by then.

        Raises:
            Fatal: a manifest cannot be read, so that nobody knows what it names; names it.
        """
        contents = Contents()
        for prefix in (RUNS, PROGRESS, DATASETS, ENCODINGS, MODELS):
            seen_before = PROGRESS if prefix == DATASETS else "\0"
            self._add(contents, (s for s in self._store.list(prefix) if not s.key.startswith(seen_before)))
        return contents

    def _add(self, contents: Contents, stats: Iterable[Stat]) -> None:
        found = list(stats)
        contents.listing += found
        manifests = [stat for stat in found if stat.key.endswith(".json")]
        with ThreadPoolExecutor(_THREADS) as threads:
            for stat, content in zip(manifests, threads.map(self._content, manifests), strict=True):
                if (progress := progress_of(stat.key)) is not None:
                    contents.in_progress.setdefault(progress, set()).update(content.named)
                contents.named |= content.named if progress is None else set()
                contents.retired |= content.retired
                contents.released |= content.released
                contents.ended |= {content.ended} if content.ended else set()

    def _content(self, stat: Stat) -> _Named:
        if stat not in self._read:
            self._read[stat] = _read(self._store, stat.key)
        return self._read[stat]


def _read(store: Store, key: str) -> _Named:
    if at := record_at(key):
        record = Run(store, at.run).find(at.kind, *at.index)
        if record is None:  # removed meanwhile
            return _Named()
        prefix_of = _CHECKPOINTS_OF.get(at.kind)
        ended = prefix_of(Run(store, at.run), *at.index) if prefix_of else None
        retired = frozenset(record.retired) if isinstance(record, BeginRecord) else frozenset[str]()
        for one in sorted(retired):
            if not Run(store, at.run).owns(one):
                raise Fatal(f"{store.address(key)}: altered: it retires {one or 'an empty key'}, not of run {at.run}")
        return _Named(frozenset(ref.key for ref in record.objects.values()), retired, ended=ended)
    if release_at(key):
        release = find_parsed(store, key, Release)
        return _Named(released=frozenset(ref.key for ref in release.objects.values()) if release else frozenset())
    if digest := data_manifest_of(key):
        manifest = find_manifest(store, digest)
        refs = [*(c.object for c in manifest.chunks), manifest.index, manifest.names] if manifest else []
        return _Named(frozenset(ref.key for ref in refs))
    if is_encoded_block(key):
        block = find_parsed(store, key, EncodedBlock)
        return _Named(frozenset([block.object.key]) if block else frozenset())
    if (source := source_of(key)) and find_prepared(store, source):
        return _Named(ended=f"{PROGRESS}{source}/")
    if progress_of(key):
        return _Named(frozenset(_named_in_progress(store.find(key) or b"", is_part=key.startswith(PROGRESS))))
    return _Named()


def _named_in_progress(data: bytes, *, is_part: bool) -> list[str]:
    """A record of progress that cannot be read names nothing: prepare and train leave it aside too."""
    try:
        if not is_part:
            return [Checkpoint.model_validate_json(data).state.key]
        chunk = _Part.model_validate_json(data).chunk
        return [chunk.object.key] if chunk else []
    except ValidationError:
        return []


class Reason(StrEnum):
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
    why: Reason


def leftovers(contents: Contents, before: float, *, abandoned: bool = False) -> list[Leftover]:
    """What can go, sorted by key.

    Only keys of the form that Unecho writes are judged: whatever else a user keeps below the root is
    never a left-over. A manifest is none either, except one of progress that is done or given up.

    Args:
        before: seconds since the epoch; an object written later may be a live step's, which names
            it last, and is spared.
        abandoned: progress of which nothing was written later counts as given up: the checkpoints of
            a proxy or of images that are not committed, the parts of a prepare that did not end.
    """
    given_up = _idle(contents, before) - contents.ended if abandoned else set[str]()
    in_progress = {key for work, keys in contents.in_progress.items() if work not in given_up for key in keys}
    named = (contents.named | in_progress) - contents.retired | contents.released
    decide = _decision(contents, named, given_up)
    old = (stat for stat in contents.listing if stat.modified <= before)
    found = [Leftover(stat, why) for stat in old if (why := decide(stat.key))]
    return sorted(found, key=lambda leftover: leftover.stat.key)


def _idle(contents: Contents, before: float) -> set[str]:
    """Unfinished work of which nothing was written later."""
    works: dict[str, bool] = {}
    for stat in contents.listing:
        if (work := progress_of(stat.key)) is not None:
            works[work] = works.get(work, True) and stat.modified <= before
    return {work for work, idle in works.items() if idle}


def _decision(contents: Contents, named: set[str], given_up: set[str]) -> Callable[[str], Reason | None]:
    def decide(key: str) -> Reason | None:
        if (work := progress_of(key)) is not None:
            if work in contents.ended:
                return Reason.ENDED
            if work in given_up:
                return Reason.ABANDONED
            is_manifest = key.endswith(".json")
            return None if is_manifest or key in named else _unnamed(key)
        if key in named or not (is_object(key) or is_data(key)):
            return None
        return Reason.RETIRED if key in contents.retired else _unnamed(key)

    return decide


def _unnamed(key: str) -> Reason:
    return Reason.UNNAMED_DATA if is_data(key) or key.startswith(PROGRESS) else Reason.UNNAMED


_BATCH = 1000
"""As many as one S3 request removes."""


def remove(
    store: Store, manifests: Manifests, found: Sequence[Leftover], before: float, *, abandoned: bool = False
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
            still = {leftover.stat.key for leftover in leftovers(manifests.read(), before, abandoned=abandoned)}
            some = [leftover for leftover in batch if leftover.stat.key in still]
            stats = threads.map(lambda leftover: store.stat(leftover.stat.key), some)
            gone = [one for one, stat in zip(some, stats, strict=True) if stat and stat.modified <= before]
            store.delete([leftover.stat.key for leftover in gone])
            yield from gone

"""Which objects below a root are named by a manifest. Found by listing: for cleaning up, never on a hot path."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from pydantic import BaseModel, ValidationError

from unecho.components.dataset.manifest import ChunkRef, find_manifest, find_prepared
from unecho.components.run.address import Run
from unecho.components.run.checkpoints import Checkpoint
from unecho.components.run.keys import (
    DATASETS,
    PROGRESS,
    RUNS,
    data_manifest_of,
    progress_of,
    record_at,
    source_of,
)
from unecho.components.run.records import BeginRecord, ProxyRecord
from unecho.components.store import Stat, Store

_THREADS = 16


@dataclass
class Holdings:
    """What stands below a root, and what its manifests say of it.

    Attributes:
        listing: every object below runs/ and datasets/.
        named: keys that a record or the manifest of a data set names.
        retired: keys that a begin has retired; they may be among the named ones.
        in_progress: keys that unfinished work names, by the prefix of that work.
        ended: prefixes of work that was unfinished once: its result is committed.
    """

    listing: list[Stat] = field(default_factory=list)
    named: set[str] = field(default_factory=set)
    retired: set[str] = field(default_factory=set)
    in_progress: dict[str, set[str]] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)


class _Part(BaseModel):
    """What prepare keeps of a finished part, as far as it names something."""

    chunk: ChunkRef | None


@dataclass(frozen=True)
class _Says:
    """What one manifest says."""

    named: frozenset[str] = frozenset()
    retired: frozenset[str] = frozenset()
    ended: str | None = None


class Naming:
    """Reads the manifests of a root; one that it has read, and that did not change, is not read again."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._read: dict[Stat, _Says] = {}

    def look(self) -> Holdings:
        """List and read, in an order that loses no name on its way.

        When a data set is committed, the names of its chunks move from the parts of the prepare to the
        manifest. So the parts are read first: what has left them before stands in a manifest by then.

        Raises:
            Fatal: a manifest cannot be read, so that nobody knows what it names; names it.
        """
        holdings = Holdings()
        for prefix in (RUNS, PROGRESS, DATASETS):
            seen_before = PROGRESS if prefix == DATASETS else "\0"
            self._add(holdings, (s for s in self._store.list(prefix) if not s.key.startswith(seen_before)))
        return holdings

    def _add(self, holdings: Holdings, stats: Iterable[Stat]) -> None:
        found = list(stats)
        holdings.listing += found
        manifests = [stat for stat in found if stat.key.endswith(".json")]
        with ThreadPoolExecutor(_THREADS) as threads:
            for stat, says in zip(manifests, threads.map(self._says, manifests), strict=True):
                if (progress := progress_of(stat.key)) is not None:
                    holdings.in_progress.setdefault(progress, set()).update(says.named)
                holdings.named |= says.named if progress is None else set()
                holdings.retired |= says.retired
                holdings.ended |= {says.ended} if says.ended else set()

    def _says(self, stat: Stat) -> _Says:
        if stat not in self._read:
            self._read[stat] = _read(self._store, stat.key)
        return self._read[stat]


def _read(store: Store, key: str) -> _Says:
    if at := record_at(key):
        record = Run(store, at.run).find(at.kind, *at.index)
        if record is None:  # removed meanwhile
            return _Says()
        ended = f"{RUNS}{at.run}/checkpoints/{at.index[0]}/{at.index[1]}/" if at.kind is ProxyRecord else None
        retired = frozenset(record.retired) if isinstance(record, BeginRecord) else frozenset[str]()
        return _Says(frozenset(ref.key for ref in record.objects.values()), retired, ended)
    if digest := data_manifest_of(key):
        manifest = find_manifest(store, digest)
        refs = [*(c.object for c in manifest.chunks), manifest.index, manifest.names] if manifest else []
        return _Says(frozenset(ref.key for ref in refs))
    if (source := source_of(key)) and find_prepared(store, source):
        return _Says(ended=f"{PROGRESS}{source}/")
    if progress_of(key):
        return _Says(frozenset(_named_in_progress(store.find(key) or b"", is_part=key.startswith(PROGRESS))))
    return _Says()


def _named_in_progress(data: bytes, *, is_part: bool) -> list[str]:
    """A record of progress that cannot be read names nothing: prepare and train leave it aside too."""
    try:
        if not is_part:
            return [Checkpoint.model_validate_json(data).state.key]
        chunk = _Part.model_validate_json(data).chunk
        return [chunk.object.key] if chunk else []
    except ValidationError:
        return []

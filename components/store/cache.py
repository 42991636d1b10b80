"""A local read cache of immutable objects in front of a store."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from io import BytesIO
from pathlib import Path
from threading import Lock

from unecho.components.store.base import Buffer, Stat, Store
from unecho.components.store.fragments import FragmentFolder
from unecho.components.store.s3.transfer import Range


class CachedStore(Store):
    """Keeps the ranges that were read, exactly those, in files of a directory.

    So a training pod of the next round asks the store only for the rows that are new to its shard, and
    the directory holds a pod's own rows. (Aligned blocks of a chunk would hold rows of every shard: the
    whole data set would be fetched and kept by each pod.)

    Records (`*.json`), which may not exist yet, and `stat` and `list` always go to the store. Every
    fragment has a check sum: nothing that is half written or altered is served. Processes may share the
    directory. One that is full, read-only or gone is no failure: then nothing is cached.

    Attributes:
        bytes_hit, bytes_missed: served from the directory, and asked of the store; records left out.
    """

    def __init__(self, inner: Store, directory: Path, limit_bytes: int) -> None:
        """
        Args:
            directory: made if it is not there.
            limit_bytes: the objects used longest ago are dropped before all files are larger than that.
        """
        self.url, self.distant = inner.url, inner.distant
        self.bytes_hit = self.bytes_missed = 0
        self._inner, self._folder, self._counting = inner, FragmentFolder(directory, limit_bytes), Lock()
        self._location = directory, limit_bytes

    def __reduce__(self) -> tuple[type["CachedStore"], tuple[Store, Path, int]]:
        return CachedStore, (self._inner, *self._location)

    def get(self, key: str) -> bytes:
        if _may_change(key):
            return self._inner.get(key)
        if (size := self._folder.size(self._name(key))) is None:
            data = self._inner.get(key)
            self._count(0, len(data))
            self._folder.add(self._name(key), [(0, memoryview(data))], size=len(data))
            return data
        buffer = BytesIO(bytes(size))
        with buffer.getbuffer() as whole:
            self.read_ranges(key, [(0, whole)])
        return buffer.getvalue()

    def read_into(self, key: str, start: int, target: memoryview) -> None:
        self.read_ranges(key, [(start, target)])

    def read_ranges(self, key: str, ranges: Sequence[Range]) -> None:
        if _may_change(key):
            self._inner.read_ranges(key, ranges)
            return
        missing = self._folder.read(self._name(key), ranges)
        wanted, missed = (sum(len(target) for _, target in some) for some in (ranges, missing))
        self._count(wanted - missed, missed)
        if missed or not wanted:
            self._inner.read_ranges(key, missing)
            self._folder.add(self._name(key), missing)

    def put(self, key: str, data: Buffer | Path) -> None:
        self._inner.put(key, data)
        self._folder.forget(self._name(key))

    def create(self, key: str, data: Buffer) -> bool:
        return self._inner.create(key, data)

    def stat(self, key: str) -> Stat | None:
        return self._inner.stat(key)

    def list(self, prefix: str) -> Iterator[Stat]:
        return self._inner.list(prefix)

    def delete(self, keys: Iterable[str]) -> None:
        gone = tuple(keys)
        self._inner.delete(gone)
        for key in gone:
            self._folder.forget(self._name(key))

    def find(self, key: str) -> bytes | None:
        return self._inner.find(key) if _may_change(key) else super().find(key)

    def distrust(self, key: str) -> None:
        self._folder.forget(self._name(key))
        self._inner.distrust(key)

    def _name(self, key: str) -> str:
        """Name of an object's file; stores may share the directory."""
        return hashlib.sha256(self.address(key).encode()).hexdigest()[:40]

    def _count(self, hit: int, missed: int) -> None:
        with self._counting:
            self.bytes_hit += hit
            self.bytes_missed += missed


def _may_change(key: str) -> bool:
    """Records are what may not be there yet; all other objects are named by their content."""
    return key.endswith(".json")

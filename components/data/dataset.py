"""Reading a packed data set."""

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from safetensors import SafetensorError
from safetensors.numpy import load

from ..failure import Fatal
from ..store import Store, fetch
from .id_table import NAMES_BLOCK, Names
from .manifest import DatasetManifest, find_manifest, manifest_key, row_digests, short_digests
from .row_cache import RowCache

_THREADS = 4


class Dataset:
    """A packed data set in a store; only its index is in memory (13 bytes a sample).

    Attributes:
        manifest: what it consists of.
        labels: int32 [N], -1 for none.
        held_out: bool [N], True for samples that are never trained on.
        row_digest: uint64 [N], of the pixels.
    """

    def __init__(
        self, store: Store, manifest: DatasetManifest, index: dict[str, NDArray[np.generic]], cache: RowCache | None
    ) -> None:
        self.manifest = manifest
        self._cache = cache
        self.labels: NDArray[np.int32] = index["label"].astype(np.int32, copy=False)
        self.held_out: NDArray[np.bool_] = index["held_out"].astype(np.bool_, copy=False)
        self.row_digest = index["row_digest"]
        self._names = Names(store, manifest.names, index["names_offset"].astype(np.int64, copy=False))
        self._store = store
        self._starts = np.cumsum([0, *(chunk.rows for chunk in manifest.chunks)], dtype=np.int64)

    @classmethod
    def open(cls, store: Store, digest: str, cache_dir: Path | None = None, cache_bytes: int = 0) -> Self:
        """Open the data set of this digest.

        Args:
            cache_dir: where rows that were read are kept, `cache_bytes` at most; None for nowhere.

        Raises:
            Fatal: manifest or index is missing, truncated or altered; names the object.
        """
        manifest = find_manifest(store, digest)
        if manifest is None:
            raise Fatal(f"{store.address(manifest_key(digest))}: missing: step prepare makes it")
        try:
            index = load(fetch(store, manifest.index))
        except SafetensorError as error:
            raise Fatal(f"{store.address(manifest.index.key)}: altered: {error}") from None
        blocks = -(-manifest.samples // NAMES_BLOCK)
        lengths = dict.fromkeys(("label", "held_out", "row_digest"), manifest.samples) | {"names_offset": blocks + 1}
        for name, length in lengths.items():
            if name not in index or index[name].shape != (length,):
                raise Fatal(f"{store.address(manifest.index.key)}: altered: {name} does not have {length} entries")
        cache = None
        if cache_dir is not None:
            row_bytes = manifest.channels * manifest.resolution**2
            cache = RowCache(cache_dir, digest, manifest.samples, row_bytes, cache_bytes)
        return cls(store, manifest, index, cache)

    @property
    def digest(self) -> str:
        return self.manifest.digest

    @property
    def count(self) -> int:
        """N: all samples, held-out ones included."""
        return self.manifest.samples

    @property
    def channels(self) -> int:
        return self.manifest.channels

    @property
    def resolution(self) -> int:
        """Height and width, pixels."""
        return self.manifest.resolution

    @property
    def label_names(self) -> list[str]:
        return self.manifest.label_names

    @cached_property
    def train_rows(self) -> NDArray[np.int64]:
        """Rows that are trained on, ascending."""
        return np.flatnonzero(~self.held_out).astype(np.int64)

    @cached_property
    def held_out_rows(self) -> NDArray[np.int64]:
        """Rows that are never trained on, ascending."""
        return np.flatnonzero(self.held_out).astype(np.int64)

    def name(self, row: int) -> str:
        """The source object that a row came from."""
        return self._names.line(self._checked(row))[0]

    def captions(self, row: int) -> tuple[str, ...]:
        """The captions of a row, in the order of the source; none of them is blank."""
        return self._names.line(self._checked(row))[1]

    def rows(self, indices: ArrayLike) -> NDArray[np.uint8]:
        """Read samples. The store is asked for their bytes and no others.

        Beside the result a fixed number of megabytes is used, whatever the number of rows.

        Args:
            indices: [n] rows, in any order, repetitions allowed.

        Returns:
            uint8 [n, C, H, W], in the order of `indices`.

        Raises:
            IndexError: a row is out of range.
            Fatal: a chunk is missing, truncated or altered; names it and the sample.
        """
        asked = np.asarray(indices, dtype=np.int64)
        order = np.argsort(asked, kind="stable")
        ascending = asked[order]
        if len(asked) and not 0 <= ascending[0] <= ascending[-1] < self.count:
            raise IndexError(f"rows {ascending[0]} to {ascending[-1]} of a data set of {self.count}")
        images = np.empty((len(asked), self.channels, self.resolution, self.resolution), np.uint8)
        distinct, first, times = np.unique(ascending, return_index=True, return_counts=True)

        def place(rows: NDArray[np.int64], read: NDArray[np.uint8]) -> None:
            """Put rows, some of `distinct`, to all places where they were asked for."""
            here = np.searchsorted(distinct, rows)
            source = np.repeat(np.arange(len(rows)), times[here])
            repetition = np.arange(len(source)) - np.repeat(np.cumsum(times[here]) - times[here], times[here])
            images[order[first[here][source] + repetition]] = read[source]

        def read(batch: Batch) -> None:
            place(int(self._starts[batch.chunk]) + batch.rows, self._read(batch))

        wanted = self._read_cached(distinct, place) if self._cache else distinct
        batches = list(plan_batches(wanted, self._starts, self.channels * self.resolution**2))
        if len(batches) < 2 or not self._store.distant:
            for batch in batches:
                read(batch)
        else:
            with ThreadPoolExecutor(min(_THREADS, len(batches))) as pool:
                try:
                    for done in pool.map(read, batches):
                        assert done is None
                except BaseException:
                    pool.shutdown(wait=False, cancel_futures=True)
                    raise
        return images

    def _read_cached(
        self, distinct: NDArray[np.int64], place: Callable[[NDArray[np.int64], NDArray[np.uint8]], None]
    ) -> NDArray[np.int64]:
        """Place what the cache has; the rows that it has not."""
        assert self._cache is not None
        image = (self.channels, self.resolution, self.resolution)
        at_once, missing = max(1, READ_BYTES // math.prod(image)), []
        for start in range(0, len(distinct), at_once):
            rows = distinct[start : start + at_once]
            read = np.empty((len(rows), *image), np.uint8)
            here = self._cache.read(rows, read)
            wrong = self._wrong(rows[here], read[here])
            self._cache.forget(rows[here][wrong])
            here[np.flatnonzero(here)[wrong]] = False
            place(rows[here], read[here])
            missing.append(rows[~here])
        return np.concatenate(missing) if missing else distinct

    def _read(self, batch: "Batch") -> NDArray[np.uint8]:
        """Rows of a chunk out of the store, their pixels checked: [n, C, H, W]."""
        top = int(self._starts[batch.chunk])
        read = self._fetched(batch)
        if len(self._wrong(top + batch.rows, read)):  # on their way: once more
            read = self._fetched(batch)
            if len(wrong := self._wrong(top + batch.rows, read)):
                raise self._altered(batch.chunk, top + int(batch.rows[wrong[0]]))
        if self._cache:
            self._cache.add(top + batch.rows, read)
        return read

    def _fetched(self, batch: "Batch") -> NDArray[np.uint8]:
        read = np.empty((len(batch.rows), self.channels, self.resolution, self.resolution), np.uint8)
        chunk, row_bytes = self.manifest.chunks[batch.chunk], read[0].nbytes
        flat, ranges, done = read.reshape(-1).data, [], 0
        for first, rows in batch.runs():
            ranges.append((chunk.offset + first * row_bytes, flat[done : done + rows * row_bytes]))
            done += rows * row_bytes
        self._store.read_ranges(chunk.object.key, ranges)
        return read

    def _wrong(self, rows: NDArray[np.int64], read: NDArray[np.uint8]) -> NDArray[np.intp]:
        """Positions whose pixels are not those of their row's digest."""
        return np.flatnonzero(short_digests(row_digests(read)) != self.row_digest[rows])

    def _altered(self, chunk: int, row: int) -> Fatal:
        """The one line for a row with wrong pixels."""
        key, name = self.manifest.chunks[chunk].object.key, ""
        with suppress(Fatal):
            name = f" ({self.name(row)})"
        return Fatal(
            f"{self._store.address(key)}: altered: sample {row}{name} does not have the pixels that data set "
            f"{self.digest[:16]}... names: restore the object, or remove the data set and prepare it again"
        )

    def _checked(self, row: int) -> int:
        if not 0 <= row < self.count:
            raise IndexError(f"row {row} of a data set of {self.count}")
        return row


READ_BYTES = 8 << 20
"""Most bytes that one batch of reads brings into memory (at least a row)."""


@dataclass(frozen=True)
class Batch:
    """Rows of one chunk that are read together.

    Attributes:
        chunk: number of the chunk.
        rows: within the chunk, ascending.
    """

    chunk: int
    rows: NDArray[np.int64]

    def runs(self) -> list[tuple[int, int]]:
        """The rows as runs without a gap: (first row, how many)."""
        breaks = np.flatnonzero(np.diff(self.rows) > 1)
        first = self.rows[np.concatenate([[0], breaks + 1])]
        last = self.rows[np.concatenate([breaks, [len(self.rows) - 1]])]
        return list(zip(first.tolist(), (last - first + 1).tolist(), strict=True))


def plan_batches(wanted: NDArray[np.int64], starts: NDArray[np.int64], row_bytes: int) -> Iterator[Batch]:
    """The wanted rows, and no others.

    What lies between them is the store's to decide: S3's reads through small gaps instead of asking again.

    Args:
        wanted: rows, ascending, no repetition.
        starts: first row of each chunk, and the number of rows as its last entry.
        row_bytes: bytes of a row.
    """
    at_once = max(1, READ_BYTES // row_bytes)
    edges = np.searchsorted(wanted, starts)
    for chunk in np.flatnonzero(np.diff(edges)):
        rows = wanted[edges[chunk] : edges[chunk + 1]] - starts[chunk]
        for first in range(0, len(rows), at_once):
            yield Batch(int(chunk), rows[first : first + at_once])

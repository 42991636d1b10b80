"""Reading a packed data set."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from safetensors import SafetensorError
from safetensors.numpy import load

from unecho.components.data.id_table import NAMES_BLOCK, Names
from unecho.components.data.manifest import DatasetManifest, find_manifest, manifest_key, row_digests, short_digests
from unecho.components.failure import Fatal
from unecho.components.store import Store, fetch

_THREADS = 4


class Dataset:
    """A packed data set in a store; only its index is in memory (13 bytes a sample).

    Attributes:
        manifest: what it consists of.
        labels: int32 [N], -1 for none.
        held_out: bool [N], True for samples that are never trained on.
    """

    def __init__(self, store: Store, manifest: DatasetManifest, index: dict[str, NDArray[np.generic]]) -> None:
        self.manifest = manifest
        self.labels: NDArray[np.int32] = index["label"].astype(np.int32, copy=False)
        self.held_out: NDArray[np.bool_] = index["held_out"].astype(np.bool_, copy=False)
        self._row_digest = index["row_digest"]
        self._names = Names(store, manifest.names, index["names_offset"].astype(np.int64, copy=False))
        self._store = store
        self._starts = np.cumsum([0, *(chunk.rows for chunk in manifest.chunks)], dtype=np.int64)

    @classmethod
    def open(cls, store: Store, digest: str) -> Self:
        """Open the data set of this digest.

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
        return cls(store, manifest, index)

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

    def caption(self, row: int) -> str | None:
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
        distinct = ascending[np.concatenate([[True], np.diff(ascending) > 0])] if len(asked) else ascending
        batches = list(plan_batches(distinct, self._starts, self.channels * self.resolution**2))

        def read(batch: "Batch") -> None:
            self._read(batch, images, order, ascending)

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

    def _read(
        self, batch: "Batch", images: NDArray[np.uint8], order: NDArray[np.int64], ascending: NDArray[np.int64]
    ) -> None:
        """Read a batch and put every row of it to the places that asked for it.

        Args:
            images: [n, C, H, W], filled here.
            order, ascending: `ascending[i]` is wanted at `images[order[i]]`.
        """
        top = int(self._starts[batch.chunk])
        read = np.empty((len(batch.rows), *images.shape[1:]), np.uint8)
        self._read_rows(batch, read)
        if len(self._wrong(batch, read)):  # on their way, or in a local cache: once more, from the store
            self._store.distrust(self.manifest.chunks[batch.chunk].object.key)
            self._read_rows(batch, read)
            if len(wrong := self._wrong(batch, read)):
                raise self._altered(batch.chunk, top + int(batch.rows[wrong[0]]))
        low, high = np.searchsorted(ascending, [top + batch.rows[0], top + batch.rows[-1] + 1])
        images[order[low:high]] = read[np.searchsorted(batch.rows, ascending[low:high] - top)]

    def _read_rows(self, batch: "Batch", read: NDArray[np.uint8]) -> None:
        """Fill `read`, [rows of the batch, C, H, W]."""
        chunk, row_bytes = self.manifest.chunks[batch.chunk], read[0].nbytes
        flat, ranges, done = read.reshape(-1).data, [], 0
        for first, rows in batch.runs():
            ranges.append((chunk.offset + first * row_bytes, flat[done : done + rows * row_bytes]))
            done += rows * row_bytes
        self._store.read_ranges(chunk.object.key, ranges)

    def _wrong(self, batch: "Batch", read: NDArray[np.uint8]) -> NDArray[np.intp]:
        """Positions in the batch whose pixels are not those of their digest."""
        right = self._row_digest[int(self._starts[batch.chunk]) + batch.rows]
        return np.flatnonzero(short_digests(row_digests(read)) != right)

    def _altered(self, chunk: int, row: int) -> Fatal:
        """The one line for a row with wrong pixels. All copies of its chunk are distrusted."""
        key, name = self.manifest.chunks[chunk].object.key, ""
        self._store.distrust(key)
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

    What lies between them is the store's to decide: S3's reads through small gaps instead of asking
    again, a cache keeps just these rows, so that in the next round only rows new to a shard are read.

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

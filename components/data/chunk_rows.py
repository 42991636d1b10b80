"""Rows of chunks that no manifest names yet."""

import math

import numpy as np
from numpy.typing import NDArray

from ..store import Store
from .dataset import plan_batches
from .manifest import ChunkRef


class ChunkRows:
    """Images of chunks, one chunk after another, read by position."""

    def __init__(self, store: Store, chunks: list[ChunkRef], shape: tuple[int, int, int]) -> None:
        """
        Args:
            shape: C, H, W.
        """
        self._store, self._chunks, self._shape = store, chunks, shape
        self._starts = np.cumsum([0, *(chunk.rows for chunk in chunks)], dtype=np.int64)

    def __len__(self) -> int:
        return int(self._starts[-1])

    def take(self, positions: NDArray[np.int64]) -> NDArray[np.uint8]:
        """uint8 [n, C, H, W], in the order of `positions`.

        Raises:
            Missing: a chunk is gone.
        """
        wanted, place = np.unique(positions, return_inverse=True)
        images = np.empty((len(wanted), *self._shape), np.uint8)
        flat, row_bytes, done = images.reshape(-1).data, math.prod(self._shape), 0
        for batch in plan_batches(wanted, self._starts, row_bytes):
            chunk, ranges = self._chunks[batch.chunk], []
            for first, rows in batch.runs():
                ranges.append((chunk.offset + first * row_bytes, flat[done : done + rows * row_bytes]))
                done += rows * row_bytes
            self._store.read_ranges(chunk.object.key, ranges)
        return images[place]


class Chosen:
    """Some of the images of chunks, read by their position among these."""

    def __init__(self, images: ChunkRows, positions: NDArray[np.int64]) -> None:
        """
        Args:
            positions: int64 [n], of the chosen ones.
        """
        self._images, self._positions = images, positions

    def __len__(self) -> int:
        return len(self._positions)

    def take(self, positions: NDArray[np.int64]) -> NDArray[np.uint8]:
        """As that of `ChunkRows`."""
        return self._images.take(self._positions[positions])

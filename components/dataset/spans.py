"""Which byte ranges of which chunks to read for a set of rows."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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

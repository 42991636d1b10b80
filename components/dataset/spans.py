"""Which byte ranges of which chunks to read for a set of rows."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

GAP_BYTES = 64 << 10
"""Rows this near to each other are read in one go: a request takes about 1 ms, as long as 64 KiB and more do."""
MOST = 0.5
"""From this share of a chunk on it is read whole."""
READ_BYTES = 8 << 20
"""Most bytes that one batch of reads brings into memory (at least a row)."""


@dataclass(frozen=True)
class Batch:
    """Ranges of one chunk that are read together.

    Attributes:
        chunk: number of the chunk.
        spans: (first row within the chunk, rows), ascending.
    """

    chunk: int
    spans: list[tuple[int, int]]


def plan_batches(wanted: NDArray[np.int64], starts: NDArray[np.int64], row_bytes: int) -> Iterator[Batch]:
    """Cover the wanted rows with few reads.

    Args:
        wanted: rows, ascending, no repetition.
        starts: first row of each chunk, and the number of rows as its last entry.
        row_bytes: bytes of a row.
    """
    gap = 1 + GAP_BYTES // row_bytes
    at_once = max(1, READ_BYTES // row_bytes)
    edges = np.searchsorted(wanted, starts)
    for chunk in np.flatnonzero(np.diff(edges)):
        rows = wanted[edges[chunk] : edges[chunk + 1]] - starts[chunk]
        size = int(starts[chunk + 1] - starts[chunk])
        spans = [(0, size)] if len(rows) >= MOST * size else _runs(rows, gap)
        yield from (Batch(int(chunk), batch) for batch in _at_most(spans, at_once))


def _runs(rows: NDArray[np.int64], gap: int) -> list[tuple[int, int]]:
    """Runs of rows that lie at most `gap` apart: (first row, rows)."""
    breaks = np.flatnonzero(np.diff(rows) > gap)
    first = rows[np.concatenate([[0], breaks + 1])]
    last = rows[np.concatenate([breaks, [len(rows) - 1]])]
    return list(zip(first.tolist(), (last - first + 1).tolist(), strict=True))


def _at_most(spans: list[tuple[int, int]], rows: int) -> Iterator[list[tuple[int, int]]]:
    """Cut spans into batches of at most `rows` rows."""
    batch: list[tuple[int, int]] = []
    room = rows
    for first, count in spans:
        while count:
            taken = min(count, room)
            batch.append((first, taken))
            first, count, room = first + taken, count - taken, room - taken
            if not room:
                yield batch
                batch, room = [], rows
    if batch:
        yield batch

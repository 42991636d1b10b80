"""The search on a copy descriptor, against a bare product that keeps the largest of each row (goal: none given).

Synthetic unit vectors, which come in blocks as a report describes them; the two most similar of each query, and the
place of both. The bare product goes over the same blocks, float32, and keeps one number a query: no places, no second.
Held vectors of the queries count for neither.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from tests.benchmarks.memory import MIB, in_own_process
from tests.benchmarks.turns import Work
from unecho.components.measures.similarity import Search

THREADS = 1
BLOCK = 2048
"""Vectors at once, as a report describes training images."""
NEIGHBOURS = 2


def benchmark(queries: int = 65_536, training: int = 1_000_000, dimensions: int = 64) -> None:
    """
    Args:
        queries, training: vectors.
    """
    search = in_own_process(_search, queries, training, dimensions)
    bare = in_own_process(_bare, queries, training, dimensions)
    held = queries * dimensions * 4 / MIB
    print(f"  {queries:,} in {training:,} of {dimensions} numbers, {THREADS} thread")
    print(f"  search {search} beside the {held:.0f} MiB of the queries")
    print(f"  bare product {bare}")
    for kind in ("cpu", "wall"):
        print(f"  {getattr(search.cost, kind) / getattr(bare.cost, kind):.2f}x by {kind}")


def _search(queries: int, training: int, dimensions: int) -> Work:
    held = _ready(queries, dimensions)

    def work() -> None:
        search = Search(held, NEIGHBOURS)
        for start in range(0, training, BLOCK):
            search.see([_vectors(min(BLOCK, training - start), dimensions, 1 + start)], start)
        search.found()

    return work


def _bare(queries: int, training: int, dimensions: int, rows: int = 4096) -> Work:
    held = _ready(queries, dimensions)

    def work() -> None:
        largest = torch.full((queries,), -2.0)
        for start in range(0, training, BLOCK):
            block = _vectors(min(BLOCK, training - start), dimensions, 1 + start)
            for first in range(0, queries, rows):
                some = slice(first, first + rows)
                torch.maximum(largest[some], (held[some] @ block.T).amax(dim=1), out=largest[some])

    return work


def _ready(queries: int, dimensions: int) -> Tensor:
    torch.set_num_threads(THREADS)
    return _vectors(queries, dimensions, 0)


def _vectors(count: int, dimensions: int, seed: int) -> Tensor:
    """The same each time; made when they are wanted, so that a million of them are in nobody's memory."""
    return F.normalize(torch.randn(count, dimensions, generator=torch.Generator().manual_seed(seed)), dim=1)

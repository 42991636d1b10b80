"""Exact nearest-neighbour search over training images, in blocks of bounded memory.

Why it is exact with float32 products: pixels are whole numbers, centred to -128..127. A product is
at most 2^14, so a sum over 1024 of them is a whole number of at most 2^24, which float32 holds
exactly in whatever order it is summed. Wider images are cut into spans of 1024 values whose sums
are added in float64. So an exact copy has distance 0, and every device gives the same bytes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from components.evaluate.images import Images
from components.evaluate.transforms import Transform

_SPAN = 1024
_QUERIES, _TRAINING = 4096, 2048
_BLOCK_BYTES, _PANEL_BYTES = 64 << 20, 256 << 20


@dataclass(frozen=True)
class Neighbours:
    """The nearest training images of each query, nearest first, equal distances by index.

    Attributes:
        distances: squared L2 in grey levels (0..255 a pixel), whole numbers; int64 [M, k].
        indices: position in the training set, int64 [M, k].
    """

    distances: NDArray[np.int64]
    indices: NDArray[np.int64]


def nearest(
    queries: NDArray[np.uint8],
    training: Images,
    stages: Sequence[Sequence[Transform]],
    neighbours: int,
    device: torch.device,
    told: Callable[[int], None] = lambda done: None,
    query_rows: int = _QUERIES,
    training_rows: int = _TRAINING,
) -> list[Neighbours]:
    """The `neighbours` nearest training images of each query.

    The distance to a training image is the least over transforms of it. Beside the queries and the
    result a fixed number of megabytes is used, whatever M and N.

    Args:
        queries: [M, C, H, W].
        training: N images of the same shape; `neighbours` at most N.
        stages: transforms that are allowed; each stage adds to those before it.
        told: called with how many queries are done.
        query_rows, training_rows: largest block of distances.

    Returns:
        One result a stage.
    """
    width = int(np.prod(queries.shape[1:]))
    panel = max(1, _PANEL_BYTES // (4 * width))
    rows = max(1, min(training_rows, _BLOCK_BYTES // (4 * width), len(training)))
    found = []
    for first in range(0, len(queries), panel):
        some = queries[first : first + panel]
        found.append(_search_panel(some, training, stages, neighbours, device, min(query_rows, len(some)), rows))
        told(first + len(some))
    return [
        Neighbours(*(np.concatenate([part[stage][i] for part in found]) for i in (0, 1)))
        for stage in range(len(stages))
    ]


Found = tuple[NDArray[np.int64], NDArray[np.int64]]


def _search_panel(
    queries: NDArray[np.uint8],
    training: Images,
    stages: Sequence[Sequence[Transform]],
    neighbours: int,
    device: torch.device,
    query_rows: int,
    training_rows: int,
) -> list[Found]:
    """Queries that fit as float32 against all training images, each of which is read once."""
    centred = _centre(torch.from_numpy(queries).to(device))
    squares = _square(centred)
    shape = (len(stages), len(queries), neighbours)
    # in front of the first block: nobody, infinitely far
    distances = torch.full(shape, torch.iinfo(torch.int64).max, device=device)
    indices = torch.full(shape, -1, device=device)
    scratch = _Scratch(query_rows, training_rows, device)
    for start in range(0, len(training), training_rows):
        positions = np.arange(start, min(start + training_rows, len(training)))
        block = torch.from_numpy(training.take(positions)).to(device)
        for first in range(0, len(queries), query_rows):
            some = slice(first, first + query_rows)
            for stage, best in enumerate(scratch.search(centred[some], block, stages, neighbours)):
                far = torch.cat([distances[stage, some], best.distances + squares[some, None]], dim=1)
                who = torch.cat([indices[stage, some], best.indices + start], dim=1)
                # blocks come in order of index, so a stable sort keeps equal distances in that order
                kept, order = far.sort(dim=1, stable=True)
                distances[stage, some] = kept[:, :neighbours]
                indices[stage, some] = who.gather(1, order[:, :neighbours])
    return [(distances[s].cpu().numpy(), indices[s].cpu().numpy()) for s in range(len(stages))]


@dataclass(frozen=True)
class _Best:
    """The best of a block: int64 [m, k] distances, less the query's square, and places in the block."""

    distances: Tensor
    indices: Tensor


class _Scratch:
    """Buffers of one block of distances, and the search in it.

    A distance and the place in the block are one number, `distance * n + place`: a whole number below
    2^53 and so exact in float64. Least over transforms and top-k then need one array, and equal
    distances are ordered by place.
    """

    def __init__(self, query_rows: int, training_rows: int, device: torch.device) -> None:
        size = query_rows * training_rows
        self._product = torch.empty(size, device=device)
        self._best = torch.empty(size, dtype=torch.float64, device=device)
        self._other = torch.empty(size, dtype=torch.float64, device=device)

    def search(
        self, centred: Tensor, block: Tensor, stages: Sequence[Sequence[Transform]], neighbours: int
    ) -> list[_Best]:
        """
        Args:
            centred: queries, float32 [m, D].
            block: training images, uint8 [n, C, H, W].
        """
        m, n = len(centred), len(block)
        product, best, other = (buffer[: m * n].view(m, n) for buffer in (self._product, self._best, self._other))
        found, fresh = [], True
        for stage in stages:
            for transform in stage:
                target = best if fresh else other
                _keys(centred, _centre(transform(block)), product, target)
                if not fresh:
                    torch.minimum(best, other, out=best)
                fresh = False
            keys = best.topk(min(neighbours, n), dim=1, largest=False).values.long()
            distance = keys.div(n, rounding_mode="floor")
            found.append(_Best(distance, keys - distance * n))
        return found


def _keys(centred: Tensor, images: Tensor, product: Tensor, out: Tensor) -> None:
    """Write (|x|^2 - 2 q.x) * n + place to `out`, float64 [m, n]."""
    n = len(images)
    bias = (_square(images) * n + torch.arange(n, device=images.device)).double()[None, :]
    for first in range(0, images.shape[1], _SPAN):
        span = slice(first, first + _SPAN)
        torch.mm(centred[:, span], images[:, span].T, out=product)
        torch.add(out if first else bias, product, alpha=-2.0 * n, out=out)


def _centre(images: Tensor) -> Tensor:
    """uint8 [n, C, H, W] to float32 [n, D] around 0: smaller products, the same distances."""
    return images.flatten(1).float().sub_(128.0)


def _square(images: Tensor) -> Tensor:
    """|x|^2, int64 [n]."""
    return sum(  # type: ignore[return-value]
        images[:, first : first + _SPAN].square().sum(dim=1).long() for first in range(0, images.shape[1], _SPAN)
    )

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

from .images import Images
from .transforms import Transform

_SPAN = 1024
_QUERIES, _TRAINING = 4096, 2048
_BLOCK_BYTES, _PANEL_BYTES = 64 << 20, 256 << 20
_STRIP_ROWS = 128
_NOBODY = 1 << 62
"""A distance that no image has."""


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
    on_progress: Callable[[int], None] = lambda done: None,
    query_rows: int = _QUERIES,
    training_rows: int = _TRAINING,
    views: Sequence[Images] = (),
) -> list[Neighbours]:
    """The `neighbours` nearest training images of each query.

    The distance to a training image is the least over transforms of it and of its other views. Beside the queries and
    the result a fixed number of megabytes is used, whatever M and N.

    Args:
        queries: [M, C, H, W].
        training: N images of the same shape; `neighbours` at most N.
        stages: transforms that are allowed; each stage adds to those before it.
        on_progress: called with how many queries are done.
        query_rows, training_rows: largest block of distances.
        views: further views of the training images, N each in their order: those that a transform numbers from 1.

    Returns:
        One result a stage.
    """
    width = int(np.prod(queries.shape[1:]))
    panel = max(1, _PANEL_BYTES // (4 * width))
    rows = max(1, min(training_rows, _BLOCK_BYTES // (4 * width), len(training)))
    found = []
    for first in range(0, len(queries), panel):
        some = queries[first : first + panel]
        seen = (training, *views)
        found.append(_search_panel(some, seen, stages, neighbours, device, min(query_rows, len(some)), rows))
        on_progress(first + len(some))
    return [
        Neighbours(*(np.concatenate([part[stage][i] for part in found]) for i in (0, 1)))
        for stage in range(len(stages))
    ]


Found = tuple[NDArray[np.int64], NDArray[np.int64]]


def _search_panel(
    queries: NDArray[np.uint8],
    views: Sequence[Images],
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
    distances = torch.full(shape, _NOBODY, device=device)
    indices = torch.full(shape, -1, device=device)
    keys = _Keys(query_rows, training_rows, device)
    count = len(views[0])
    for start in range(0, count, training_rows):
        positions = np.arange(start, min(start + training_rows, count))
        blocks = [torch.from_numpy(view.take(positions)).to(device) for view in views]
        for first in range(0, len(queries), query_rows):
            some = slice(first, first + query_rows)
            keys.restart(len(positions))
            for stage, transforms in enumerate(stages):
                for transform in transforms:
                    keys.lower(centred[some], _centre(transform(blocks[transform.view])))
                near, who = keys.nearest(distances[stage, some, -1] - squares[some], neighbours)
                far = torch.cat([distances[stage, some], near + squares[some, None]], dim=1)
                who = torch.cat([indices[stage, some], who + start], dim=1)
                # blocks come in order of index, so a stable sort keeps equal distances in that order
                kept, order = far.sort(dim=1, stable=True)
                distances[stage, some] = kept[:, :neighbours]
                indices[stage, some] = who.gather(1, order[:, :neighbours])
    return [(distances[s].cpu().numpy(), indices[s].cpu().numpy()) for s in range(len(stages))]


class _Keys:
    """Distances between a block of queries and a block of training images.

    A key is a distance (less the query's square) and the place in the block as one number,
    `distance * n + place`: a whole number below 2^53 and so exact in float64. Then the least over
    transforms and the k least need one array, and equal distances are ordered by place.
    """

    def __init__(self, query_rows: int, training_rows: int, device: torch.device) -> None:
        size = query_rows * training_rows
        # on a CPU the passes over the products go by strips of few queries, which stay in its cache
        self._strip_rows = _STRIP_ROWS if device.type == "cpu" else query_rows
        self._strip = torch.empty(min(self._strip_rows, query_rows) * training_rows, dtype=torch.float64, device=device)
        self._product = torch.empty(size, device=device)
        self._fresh = torch.empty(size, dtype=torch.float64, device=device)
        self._least = torch.empty(size, dtype=torch.float64, device=device)

    def restart(self, training_rows: int) -> None:
        """Forget what was lowered; the block now holds so many training images."""
        self._n, self._m = training_rows, 0

    def lower(self, queries: Tensor, images: Tensor) -> None:
        """Lower the keys to those of `images`, float32 [n, D], where these are nearer; queries are float32 [m, D]."""
        m, n = len(queries), self._n
        product, least = self._product[: m * n].view(m, n), self._least[: m * n].view(m, n)
        keys = self._fresh[: m * n].view(m, n) if self._m else least
        bias = (_square(images) * n + torch.arange(n, device=images.device)).double()[None, :]
        for left in range(0, images.shape[1], _SPAN):
            span = slice(left, left + _SPAN)
            torch.mm(queries[:, span], images[:, span].T, out=product)
            for first in range(0, m, self._strip_rows):
                some = slice(first, first + self._strip_rows)
                # casting apart from adding: an addition of two types would make a temporary of its own
                wide = self._strip[: product[some].numel()].view(-1, n).copy_(product[some])
                torch.add(keys[some] if left else bias, wide, alpha=-2.0 * n, out=keys[some])
                if self._m and left + _SPAN >= images.shape[1]:
                    torch.minimum(least[some], keys[some], out=least[some])
        self._m = m

    def nearest(self, below: Tensor, neighbours: int) -> tuple[Tensor, Tensor]:
        """The nearest of the block that are nearer than `below`, int64 [m].

        Returns:
            distances (less the query's square; `_NOBODY` fills up) and places, int64 [m, up to neighbours], each
            row's equal distances in order of place.
        """
        n, m = self._n, self._m
        least = self._least[: m * n].view(m, n)
        if int(below.max()) < _NOBODY // 2:
            # most blocks hold few images that are nearer than the k nearest so far: no need to order the rest
            row, place = (least < (below * n).double()[:, None]).nonzero(as_tuple=True)
            counts = row.bincount(minlength=m)
            width = int(counts.max())
            if width <= neighbours:
                column = torch.arange(len(row), device=row.device) - (counts.cumsum(0) - counts)[row]
                near = torch.full((m, width), _NOBODY // 2, device=row.device)
                who = torch.full((m, width), -1, device=row.device)
                near[row, column] = least[row, place].long().div(n, rounding_mode="floor")
                who[row, column] = place
                return near, who
        keys = least.topk(min(neighbours, n), dim=1, largest=False).values.long()
        distance = keys.div(n, rounding_mode="floor")
        return distance, keys - distance * n


def _centre(images: Tensor) -> Tensor:
    """uint8 [n, C, H, W] to float32 [n, D] around 0: smaller products, the same distances."""
    return images.flatten(1).float().sub_(128.0)


def _square(images: Tensor) -> Tensor:
    """|x|^2, int64 [n]."""
    return sum(  # type: ignore[return-value]
        images[:, first : first + _SPAN].square().sum(dim=1).long() for first in range(0, images.shape[1], _SPAN)
    )

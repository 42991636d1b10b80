"""Exact nearest-neighbour search over training images, in one pass over them and in bounded memory.

Distances are whole numbers, see `products`: an exact copy has distance 0, and every device gives the same bytes.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .exact import exact
from .images import Images, read_ahead
from .products import Products, centred, squares, whole
from .transforms import Way

_QUERIES, _TRAINING = 4096, 8192
_BLOCK_BYTES = 128 << 20
"""Of a block of training images, in all ways in which it is looked at."""
_HELD_BYTES: Final = 1 << 30
"""Of the queries, on a CPU."""
_STRIP_VALUES = 1 << 19
_SORTED_VALUES, _LEAST_SORTED = 1 << 24, 1 << 10
_MANY = 4
"""Times k: from so many of a query on all of a block are put in order."""


@dataclass(frozen=True)
class Neighbours:
    """The nearest training images of each query, nearest first, equal distances by index.

    Attributes:
        distances: squared L2 in grey levels (0..255 a pixel), whole numbers; int64 [M, k].
        indices: position in the training set, int64 [M, k].
    """

    distances: NDArray[np.int64]
    indices: NDArray[np.int64]


@exact()
def nearest(
    queries: Images,
    training: Images,
    stages: Sequence[Sequence[Way]],
    neighbours: int,
    device: torch.device,
    on_progress: Callable[[int, int], None] = lambda done, of: None,
    query_rows: int = _QUERIES,
    training_rows: int = _TRAINING,
    views: Sequence[Images] = (),
    read_values: int = 0,
) -> list[Neighbours]:
    """The `neighbours` nearest training images of each query.

    The distance to a training image is the least over transforms of it and of its other views. Every training image is
    read once, while the block before it is searched. Beside a fixed number of megabytes memory holds the queries as 8
    bits a value and 8 k bytes a query and stage. Queries of more than 1 GiB, on CUDA of more than half of what is free,
    take a further pass over the training images for each further so much.

    Args:
        queries: M images; training: N images, of the same shape as the ways give them; `neighbours` at most N.
        stages: transforms that are allowed; each stage adds to those before it.
        on_progress: called with how many training images of how many are searched, over all passes.
        query_rows, training_rows: largest block of distances.
        views: further views of the training images, N each in their order: those that a transform numbers from 1.
        read_values: of a training image, where the ways give less of it than they are given.

    Returns:
        One result a stage.
    """
    seen, count = (training, *views), len(training)
    ways = sum(len(transforms) for transforms in stages)
    width = queries.take(np.arange(min(1, len(queries)))).size or 1
    rows = max(1, min(training_rows, _BLOCK_BYTES // max(ways * width, len(seen) * read_values)))
    panel = max(1, held_bytes(device) // width)
    firsts = range(0, len(queries), panel)
    found = []
    for number, first in enumerate(firsts):
        mine = held(queries, np.arange(first, min(first + panel, len(queries))), device)
        search = _Search(mine, len(stages), neighbours, min(query_rows, len(mine)), min(rows, count))
        for start, blocks in read_ahead(seen, rows):
            some = [torch.from_numpy(block).to(device) for block in blocks]
            moved = [[centred(transform(some[transform.view])) for transform in stage] for stage in stages]
            search.see(moved, start)
            on_progress(number * count + start + len(some[0]), len(firsts) * count)
        found.append(search.found())
        del mine, search  # before the next so many are held
    if not found:
        none = np.empty((0, neighbours), np.int64)
        return [Neighbours(none, none) for _ in stages]
    return [
        Neighbours(*(np.concatenate([part[stage][i] for part in found]) for i in (0, 1)))
        for stage in range(len(stages))
    ]


def held_bytes(device: torch.device) -> int:
    """Of queries that are held at once."""
    if device.type != "cuda":
        return _HELD_BYTES
    torch.cuda.empty_cache()  # what torch keeps of earlier work is not free for the driver
    return torch.cuda.mem_get_info(device)[0] // 2


def held(queries: Images, positions: NDArray[np.int64], device: torch.device) -> Tensor:
    """Some of the images as they are multiplied, int8 [M, D], brought to the device in pieces."""
    width = queries.take(positions[:1]).size
    found = torch.empty(len(positions), width, dtype=torch.int8, device=device)
    at_once = max(1, _BLOCK_BYTES // width)
    for first in range(0, len(positions), at_once):
        some = queries.take(positions[first : first + at_once])
        found[first : first + len(some)] = centred(torch.from_numpy(some).to(device))
    return found


class _Search:
    """The nearest of images that come in blocks.

    What is compared is |x|^2 - 2 q . x, the squared distance less the query's own square: of one query they are in the
    order of the distances.
    """

    def __init__(self, queries: Tensor, stages: int, neighbours: int, query_rows: int, training_rows: int) -> None:
        """
        Args:
            queries: int8 [M, D].
            query_rows, training_rows: largest block of distances.
        """
        width, device = queries.shape[1], queries.device
        kind = whole(width)
        self._queries, self._query_rows = queries, query_rows
        self._product = Products(query_rows, training_rows, width, 2, device)
        self._on_cpu = device.type == "cpu"
        self._nobody = torch.iinfo(kind).max  # farther than any image
        shape = (stages, len(queries), neighbours)
        self._least = torch.full(shape, self._nobody, dtype=kind, device=device)
        self._who = torch.full(shape, -1, dtype=torch.int32, device=device)

    def see(self, moved: Sequence[Sequence[Tensor]], start: int) -> None:
        """Search a block.

        Args:
            moved: for each stage the block in every way that it adds, int8 [n, D].
            start: position of the block's first image. Blocks come in order.
        """
        lengths = [[squares(images) for images in stage] for stage in moved]
        for first in range(0, len(self._queries), self._query_rows):
            queries = self._queries[first : first + self._query_rows]
            least: Tensor | None = None
            for stage, (ways, square) in enumerate(zip(moved, lengths, strict=True)):
                for images, length in zip(ways, square, strict=True):
                    least = self._lowered(least, self._product(queries, images, 0 if least is None else 1), length)
                assert least is not None  # a stage has ways
                for top in range(0, len(least), self._strip(least)):
                    some = least[top : top + self._strip(least)]
                    for left, right in _pieces(start, some.shape[1]):
                        self._keep(stage, first + top, some[:, left:right], start + left)

    def found(self) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Distances and positions of each stage."""
        own = squares(self._queries).long()[:, None]
        return [
            ((least + own).cpu().numpy(), who.long().cpu().numpy())
            for least, who in zip(self._least, self._who, strict=True)
        ]

    def _strip(self, least: Tensor) -> int:
        """Queries at a time: on a CPU as many as its cache holds the distances of."""
        return max(1, _STRIP_VALUES // least.shape[1]) if self._on_cpu else len(least)

    def _lowered(self, least: Tensor | None, product: Tensor, length: Tensor) -> Tensor:
        """The least over the ways so far, in its own room; the product is overwritten."""
        for top in range(0, len(product), self._strip(product)):
            some = product[top : top + self._strip(product)]
            torch.add(length, some, alpha=-2, out=some)
            if least is not None:
                before = least[top : top + len(some)]
                torch.minimum(before, some, out=before)
        return product if least is None else least

    def _keep(self, stage: int, top: int, least: Tensor, start: int) -> None:
        """Merge the nearest of a block into those found before.

        Args:
            top: number of the first query.
            least: of these queries to the block, [m, n].
        """
        mine = slice(top, top + len(least))
        kept, who = self._least[stage, mine], self._who[stage, mine]
        # most blocks hold few images that are nearer than the k nearest so far: no need to order the rest
        rows = (least.amin(dim=1) < kept[:, -1]).nonzero()[:, 0]
        if not len(rows):
            return
        least, reach = (least, kept[:, -1]) if len(rows) == len(least) else (least[rows], kept[rows, -1])
        near, place = self._few(least, reach) or _ordered(least, kept.shape[1])
        far = torch.cat([kept[rows], near], dim=1)
        place = torch.cat([who[rows], (place + start).to(who.dtype)], dim=1)
        # blocks come in order of position, so a stable sort keeps equal distances in that order
        far, order = far.sort(dim=1, stable=True)
        neighbours = kept.shape[1]
        kept[rows], who[rows] = far[:, :neighbours], place.gather(1, order[:, :neighbours])

    def _few(self, least: Tensor, reach: Tensor) -> tuple[Tensor, Tensor] | None:
        """Those below `reach`, [m], in order of place; None where some query has many.

        Returns:
            [m, most of a query] each, what they are and their places, filled up with nobody.
        """
        if int(reach.max()) == self._nobody:
            return None
        row, place = (least < reach[:, None]).nonzero(as_tuple=True)
        counts = row.bincount(minlength=len(least))
        width = int(counts.max())
        if width > _MANY * self._least.shape[2]:
            return None
        column = torch.arange(len(row), device=row.device) - (counts.cumsum(0) - counts)[row]
        near = torch.full((len(least), width), self._nobody, dtype=least.dtype, device=row.device)
        who = torch.full((len(least), width), -1, device=row.device)
        near[row, column], who[row, column] = least[row, place], place
        return near, who


def _pieces(seen: int, count: int) -> Iterator[tuple[int, int]]:
    """A block of so many images in pieces of as many as were seen before: among the first ones most are nearer than
    all before, and to put many in order takes longer than to look for the few that are nearer.
    """
    left = 0
    while left < count:
        right = min(count, left + max(seen + left, _LEAST_SORTED))
        yield left, right
        left = right


def _ordered(least: Tensor, neighbours: int) -> tuple[Tensor, Tensor]:
    """The least of each row and their places, [m, up to neighbours] each, equal ones in order of place.

    A key is a distance and the place as one number, `distance * n + place`: below 2^53, exact in float64.
    """
    n, found = least.shape[1], []
    places = torch.arange(n, device=least.device)
    at_once = max(1, _SORTED_VALUES // n)
    for top in range(0, len(least), at_once):
        keys = least[top : top + at_once].double() * n + places
        found.append(keys.topk(min(neighbours, n), dim=1, largest=False).values.long())
    keys = torch.cat(found)
    distance = keys.div(n, rounding_mode="floor")
    return distance.to(least.dtype), keys - distance * n

"""The most similar training images on a copy descriptor: an exact search in one pass, in blocks of bounded memory.

Similarities are dot products of float32 unit vectors. The search must not run under TF32: see `exact`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..failure import Fatal
from .descriptors import Descriptor
from .exact import exact
from .images import Images

CANDIDATES = 2
"""Training images that are kept of each image: the nearest, and the second for its distance."""
_QUERIES, _TRAINING, _READ_BYTES = 4096, 2048, 64 << 20
_NOBODY = -2.0
"""Less than any similarity."""
_ZERO = 1e-5
"""2 - 2s of equal vectors, to float32's rounding."""


@dataclass(frozen=True)
class Similar:
    """The most similar training images of each of M images, most similar first, equal ones by index.

    Attributes:
        similarity: float32 [M, k].
        index: position in the training set, int64 [M, k].
        own: similarity to one training image that was named for each image, float32 [M]; NaN where there is none.
    """

    similarity: NDArray[np.float32]
    index: NDArray[np.int64]
    own: NDArray[np.float32]

    @property
    def largest(self) -> NDArray[np.float32]:
        """Of all training images, float32 [M]."""
        return self.similarity[:, 0]

    @property
    def second_ratio(self) -> NDArray[np.float64]:
        """Distance to the nearest over that to the second nearest, sqrt(2 - 2s) each; float64 [M], at most 1; 0 for an
        equal image.
        """
        squares = 2 - 2 * self.similarity[:, :2].astype(np.float64)
        near, far = (np.where(squares[:, place] < _ZERO, 0.0, squares[:, place]) for place in (0, -1))
        return np.sqrt(np.divide(near, far, out=np.zeros_like(near), where=far > 0))

    def of(self, chosen: NDArray[np.bool_] | slice) -> "Similar":
        """Of some of the images."""
        return Similar(self.similarity[chosen], self.index[chosen], self.own[chosen])


@exact()
def most_similar(
    sets: Mapping[str, Images],
    training: Sequence[Images],
    descriptor: Descriptor,
    device: torch.device,
    own: Mapping[str, NDArray[np.int64]] | None = None,
    on_progress: Callable[[int, int], None] = lambda done, of: None,
) -> dict[str, Similar]:
    """Search the training images for every set of images at once: each training image is read and described once.

    The similarity to a training image is the largest over its views and their mirror images, since a descriptor need
    not know a mirrored image again. Beside the descriptors of the sets a fixed number of megabytes is used, whatever
    the number of training images.

    Args:
        training: views of the training images, two of these at least, position by position.
        own: for some sets the position of one training image of each image, -1 for none.
        on_progress: called with how many images of how many are described.

    Raises:
        Fatal: the descriptor gives zeros for every training image, to which then nothing would be similar.
    """
    count = len(training[0])
    total, done = sum(len(images) for images in sets.values()) + count, 0

    def progressed(images: int) -> None:
        nonlocal done
        done += images
        on_progress(done, total)

    queries = torch.cat([described(images, descriptor, progressed) for images in sets.values() if len(images)])
    nobody = [np.full(len(images), -1, np.int64) for images in sets.values()]
    named = np.concatenate([(own or {}).get(name, none) for name, none in zip(sets, nobody, strict=True)])
    search = Search(queries.to(device), min(CANDIDATES, count), torch.from_numpy(named).to(device))
    told = False
    for positions in _blocks(training[0], _TRAINING):
        views = []
        for images in training:
            block = images.take(positions)
            views += [descriptor(block).to(device), descriptor(block[:, :, :, ::-1]).to(device)]
        search.see(views, int(positions[0]))
        told = told or any(bool(view.any()) for view in views)
        progressed(len(positions))
    if not told:
        raise Fatal(f"evaluate.descriptor: gives zeros for all {count:,} training images: it tells no images apart")
    return _apart(search.found(), {name: len(images) for name, images in sets.items()})


def described(images: Images, descriptor: Descriptor, on_progress: Callable[[int], None] = lambda done: None) -> Tensor:
    """float32 [n, F], unit vectors on the CPU; [0, 0] of no images."""
    found = []
    for positions in _blocks(images, _TRAINING):
        found.append(descriptor(images.take(positions)))
        on_progress(len(positions))
    return torch.cat(found) if found else torch.empty(0, 0)


class Search:
    """The most similar of vectors that come in blocks."""

    def __init__(self, queries: Tensor, neighbours: int, own: Tensor | None = None) -> None:
        """
        Args:
            queries: float32 [M, F], unit vectors.
            neighbours: k, at most as many as will be seen.
            own: int64 [M], the place of one vector for each query; -1 for none.
        """
        count, device = len(queries), queries.device
        self._queries, self._own = queries, own
        self._similarity = torch.full((count, neighbours), _NOBODY, device=device)
        self._index = torch.full((count, neighbours), -1, device=device)
        self._own_similarity = torch.full((count,), torch.nan, device=device)

    @exact()
    def see(self, views: Sequence[Tensor], start: int) -> None:
        """Search a block.

        Args:
            views: float32 [B, F] each, unit vectors; the largest similarity over them counts.
            start: place of the block's first vector. Blocks come in order.
        """
        across = [view.T for view in views]
        for first in range(0, len(self._queries), _QUERIES):
            some = slice(first, first + _QUERIES)
            product = self._queries[some] @ across[0]
            for view in across[1:]:
                torch.maximum(product, self._queries[some] @ view, out=product)
            # most blocks hold nothing that is more similar than what was found: no need to order them
            better = (product.amax(dim=1) > self._similarity[some, -1]).nonzero()[:, 0]
            if len(better):
                self._keep(better + first, product[better], start)
            if self._own is not None:
                mine = ((self._own[some] >= start) & (self._own[some] < start + product.shape[1])).nonzero()[:, 0]
                self._own_similarity[mine + first] = product[mine, self._own[some][mine] - start]

    def found(self) -> Similar:
        """What was found in all that was seen."""
        return Similar(*(found.cpu().numpy() for found in (self._similarity, self._index, self._own_similarity)))

    def _keep(self, rows: Tensor, product: Tensor, start: int) -> None:
        """Merge the most similar of a block into those found before.

        Args:
            rows: of the queries, int64 [m]; product: float32 [m, B], is overwritten.
        """
        similarity, index = [self._similarity[rows]], [self._index[rows]]
        for _ in range(min(self._similarity.shape[1], product.shape[1])):
            largest, place = product.max(dim=1, keepdim=True)  # of equal ones the first
            product.scatter_(1, place, _NOBODY)
            similarity.append(largest)
            index.append(place + start)
        # blocks come in order of place, so a stable sort keeps equal ones in that order
        kept, order = torch.cat(similarity, dim=1).sort(dim=1, descending=True, stable=True)
        neighbours = self._similarity.shape[1]
        self._similarity[rows] = kept[:, :neighbours]
        self._index[rows] = torch.cat(index, dim=1).gather(1, order[:, :neighbours])


def _apart(found: Similar, counts: Mapping[str, int]) -> dict[str, Similar]:
    parts, first = {}, 0
    for name, count in counts.items():
        parts[name] = found.of(slice(first, first + count))
        first += count
    return parts


def _blocks(images: Images, rows: int) -> list[NDArray[np.int64]]:
    """Positions of all images, so many at a time as are read at once."""
    count = len(images)
    if not count:
        return []
    rows = max(1, min(rows, _READ_BYTES // max(1, images.take(np.arange(1)).nbytes)))
    return [np.arange(first, min(first + rows, count)) for first in range(0, count, rows)]

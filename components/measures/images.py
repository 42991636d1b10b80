"""Images that are too many to hold: read by position, some at a time."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..data import Dataset


class Images(Protocol):
    """A sequence of images of one shape."""

    def __len__(self) -> int: ...

    def take(self, positions: NDArray[np.int64]) -> NDArray[np.uint8]:
        """uint8 [n, C, H, W], in the order of `positions`."""


class InMemory:
    """Images in memory, uint8 [n, C, H, W]."""

    def __init__(self, images: NDArray[np.uint8]) -> None:
        self._images = images

    def __len__(self) -> int:
        return len(self._images)

    def take(self, positions: NDArray[np.int64]) -> NDArray[np.uint8]:
        return self._images[positions]


class Rows:
    """Rows of a packed data set."""

    def __init__(self, dataset: Dataset, rows: NDArray[np.int64]) -> None:
        self.dataset, self.rows = dataset, rows

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, positions: NDArray[np.int64]) -> NDArray[np.uint8]:
        return self.dataset.rows(self.rows[positions])


class Several:
    """Sets of images of one shape as one, in their order."""

    def __init__(self, sets: Sequence[Images]) -> None:
        self._sets = sets
        self._starts = np.cumsum([0, *(len(images) for images in sets)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def take(self, positions: NDArray[np.int64]) -> NDArray[np.uint8]:
        owner = np.searchsorted(self._starts, positions, side="right") - 1
        found = [(owner == number).nonzero()[0] for number in range(len(self._sets))]
        some = [
            (mine, images.take(positions[mine] - self._starts[number]))
            for number, (images, mine) in enumerate(zip(self._sets, found, strict=True))
            if len(mine)
        ]
        if not some:
            return self._sets[0].take(positions)
        taken = np.empty((len(positions), *some[0][1].shape[1:]), np.uint8)
        for mine, images in some:
            taken[mine] = images
        return taken


def read_ahead(views: Sequence[Images], rows: int) -> Iterator[tuple[int, list[NDArray[np.uint8]]]]:
    """All images in blocks, the next one being read while one is used: each once, and two blocks in memory.

    Args:
        views: of the same images, read position by position.
        rows: images of a block.

    Returns:
        The position of each block's first image, and the block in every view.
    """

    def read(start: int) -> list[NDArray[np.uint8]]:
        positions = np.arange(start, min(start + rows, len(views[0])))
        return [view.take(positions) for view in views]

    starts = range(0, len(views[0]), rows)
    with ThreadPoolExecutor(1) as reader:
        coming = [reader.submit(read, start) for start in starts[:1]]
        for start in starts:
            blocks = coming.pop().result()
            if start + rows < len(views[0]):
                coming.append(reader.submit(read, start + rows))
            yield start, blocks

"""Images that are too many to hold: read by position, some at a time."""

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

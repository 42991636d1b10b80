"""Samples that a source holds as plain arrays: no decoding, at most another shape; and the smallest such source."""

import gzip
import hashlib
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...failure import Fatal
from ..image import BadImage, Fit, fit_image
from ..manifest import row_digests
from .source import Decoded
from .tree import SourceTree


def decode_arrays(
    read: Callable[[range], NDArray[np.uint8]], wanted: Iterable[range], fit: Fit
) -> Generator[Decoded, None, None]:
    """Bring arrays to the data set's shape.

    Args:
        read: the images of a range, uint8 [n, C, H, W].
    """
    for items in wanted:
        images, bad = read(items), []
        if images.shape[1:] != fit.shape:
            fitted = []
            for item, image in zip(items, images, strict=True):
                try:
                    fitted.append(fit_image(_as_image(image), fit))
                except BadImage as error:
                    bad.append((item, str(error)))
            images = np.stack(fitted) if fitted else np.empty((0, *fit.shape), np.uint8)
        images = np.ascontiguousarray(images)
        yield Decoded(items, images, row_digests(images), bad)


def _as_image(pixels: NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0)))


class RecordFiles:
    """What sources have in common whose samples are records of few files: names by number, the test file's records.

    Attributes:
        notes, groups, test, located: see `Source`.
    """

    groups: NDArray[np.int64] | None = None
    located = None

    def __init__(self, tree: SourceTree, keys: Sequence[str], records: Sequence[int], training: int, only: str) -> None:
        """
        Args:
            keys: of the files; records: how many each holds.
            training: how many of the files are for training; those after them are official test files.
            only: the note where there are none of these.
        """
        self._keys, self._starts = keys, np.cumsum([0, *records])
        self.count = int(self._starts[-1])
        self.test: NDArray[np.bool_] | None = None
        if training < len(keys):
            self.test = np.arange(self.count) >= self._starts[training]
        self.notes = [*tree.notes, only if self.test is None else "the held-out images are the test file's"]

    def name(self, item: int) -> str:
        file = int(np.searchsorted(self._starts, item, "right")) - 1
        return f"{self._keys[file]}#{item - int(self._starts[file])}"

    def captions(self, item: int) -> tuple[str, ...]:
        return ()

    def files(self, sizes: Collection[int]) -> Iterator[tuple[int, bytes]]:
        return iter(())


class DigitsSource:
    """The digits, their levels 0..16 scaled to 0..255."""

    layout: str = "digits"
    address: str = "digits"
    groups: NDArray[np.int64] | None = None
    test: NDArray[np.bool_] | None = None
    located = None

    def __init__(self) -> None:
        table = _read_table()
        self._images = np.rint(table[:, :-1] * (255 / 16)).astype(np.uint8).reshape(-1, 1, 8, 8)
        self.labels = table[:, -1].astype(np.int32)
        self.label_names = [str(digit) for digit in range(10)]
        self.count = len(self.labels)
        self.notes: list[str] = []
        self.fingerprint = hashlib.sha256(self._images.tobytes() + self.labels.tobytes()).hexdigest()

    def native(self, own: bool = False) -> tuple[int, int]:
        return 1, 8

    def name(self, item: int) -> str:
        return f"digits#{item}"

    def captions(self, item: int) -> tuple[str, ...]:
        return ()

    def files(self, sizes: Collection[int]) -> Iterator[tuple[int, bytes]]:
        return iter(())

    def decode(self, wanted: Iterable[range], fit: Fit, workers: int) -> Generator[Decoded, None, None]:
        return decode_arrays(lambda items: self._images[items.start : items.stop], wanted, fit)


def _read_table() -> NDArray[np.float64]:
    """Rows of 64 levels and a label. The package's file is read directly: importing it takes two seconds."""
    package = find_spec("sklearn")
    if package is None or not package.submodule_search_locations:
        raise Fatal("data.source: digits: scikit-learn is not installed: install it, or choose another source")
    file = Path(package.submodule_search_locations[0], "datasets", "data", "digits.csv.gz")
    with gzip.open(file, "rt") as lines:
        return np.loadtxt(lines, delimiter=",")

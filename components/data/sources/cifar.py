"""CIFAR-10 and CIFAR-100 in their binary format (https://www.cs.toronto.edu/~kriz/cifar.html).

A record is one label byte (CIFAR-100: a coarse and a fine one, the fine one is taken) and 3 x 32 x 32 bytes, red
then green then blue, each row by row. Only the training files are read: the held-out part is split off from them as
from any other source, and the test file stays untouched for whoever wants to test on it. With `data.official_test`
its records come after the others, and are the held-out part.
"""

import re
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ...failure import Fatal
from ...store import Missing, Stat, Store
from ..image import Fit
from .arrays import RecordFiles, decode_arrays
from .contents import found_in
from .source import Decoded, Fingerprint
from .tree import SourceTree

Cifar = Literal["cifar10", "cifar100"]
_PIXELS = 3 * 32 * 32


@dataclass(frozen=True)
class _Format:
    files: re.Pattern[str]
    test: re.Pattern[str]
    label_bytes: int
    classes: int
    names: str
    """File beside the records that names the classes, a line each."""
    most: tuple[int, ...]
    """Classes by label byte."""


_FORMATS = {
    "cifar10": _Format(
        re.compile(r"(.*/)?data_batch_\d+\.bin"),
        re.compile(r"(.*/)?test_batch\.bin"),
        1,
        10,
        "batches.meta.txt",
        (10,),
    ),
    "cifar100": _Format(
        re.compile(r"(.*/)?train\.bin"),
        re.compile(r"(.*/)?test\.bin"),
        2,
        100,
        "fine_label_names.txt",
        (20, 100),
    ),
}


def named_cifar(key: str, layout: Cifar) -> bool:
    """Whether a file is called like one of training records."""
    return _FORMATS[layout].files.fullmatch(key) is not None


def is_cifar(store: Store, key: str, layout: Cifar) -> bool:
    """Whether a file looks like training records: whole ones, their first and last labels in range."""
    found, form = store.stat(key), _FORMATS[layout]
    record = form.label_bytes + _PIXELS
    if found is None or not found.size or found.size % record:
        return False
    for place in (0, found.size - record):
        label = bytearray(form.label_bytes)
        store.read_into(key, place, memoryview(label))
        if any(value >= most for value, most in zip(label, form.most, strict=True)):
            return False
    return True


class CifarSource(RecordFiles):
    """Training records of CIFAR, and where asked those of the test file after them; read range by range."""

    def __init__(self, tree: SourceTree, layout: Cifar, official_test: bool = False) -> None:
        """
        Raises:
            Fatal: no training file, no test file where it is asked for, or one that is cut off or holds a label that
                does not exist; names it.
        """
        store = tree.store
        self.layout: str = layout
        self.address = store.url
        self._store, self._format = store, _FORMATS[layout]
        self._record = self._format.label_bytes + _PIXELS
        listed = list(tree.files())
        stats = [stat for stat in listed if named_cifar(stat.key, layout)]
        if not stats:
            files = "data_batch_1.bin to data_batch_5.bin" if layout == "cifar10" else "train.bin"
            raise Fatal(
                f"data.source: {store.url}: no {files}: data.layout {layout} needs CIFAR's binary files{found_in(tree)}"
            )
        tests = [stat for stat in listed if official_test and self._format.test.fullmatch(stat.key)]
        if official_test and not tests:
            file = "test_batch.bin" if layout == "cifar10" else "test.bin"
            raise Fatal(f"data.official_test: {store.url}: no {file}: put it there, or set data.official_test=false")
        training, stats = len(stats), stats + tests
        fingerprint = Fingerprint()
        for stat in stats:
            fingerprint.add(stat)
            if stat.size % self._record:
                raise Fatal(
                    f"{store.address(stat.key)}: {stat.size} bytes is no multiple of {self._record}: truncated, or not "
                    f"{layout}'s binary format"
                )
        self.fingerprint = fingerprint.hexdigest()
        super().__init__(
            tree,
            [stat.key for stat in stats],
            [stat.size // self._record for stat in stats],
            training,
            "only the training files are read; held-out images are split off from them",
        )
        self.labels = np.concatenate([self._read_labels(stat) for stat in stats])
        self.label_names = self._read_names()

    def native(self, own: bool = False) -> tuple[int, int]:
        return 3, 32

    def decode(self, wanted: Iterable[range], fit: Fit, workers: int) -> Generator[Decoded, None, None]:
        return decode_arrays(self._read_images, wanted, fit)

    def _read_images(self, items: range) -> NDArray[np.uint8]:
        records = np.empty((len(items), self._record), np.uint8)
        first = int(np.searchsorted(self._starts, items.start, "right")) - 1
        for file in range(first, len(self._keys)):
            top = int(self._starts[file])
            start, stop = max(items.start, top), min(items.stop, int(self._starts[file + 1]))
            if start < stop:
                target = records[start - items.start : stop - items.start].reshape(-1).data
                self._store.read_into(self._keys[file], (start - top) * self._record, target)
        return records[:, self._format.label_bytes :].reshape(-1, 3, 32, 32)

    def _read_labels(self, stat: Stat) -> NDArray[np.int32]:
        records = np.frombuffer(self._store.get(stat.key), np.uint8).reshape(-1, self._record)
        labels = records[:, self._format.label_bytes - 1].astype(np.int32)
        wrong = np.flatnonzero(labels >= self._format.classes)
        if len(wrong):
            raise Fatal(
                f"{self._store.address(stat.key)}: record {wrong[0]} has label {labels[wrong[0]]}, {self.layout} has "
                f"0 to {self._format.classes - 1}: not {self.layout}'s binary format"
            )
        return labels

    def _read_names(self) -> list[str]:
        folder = self._keys[0].rpartition("/")[0]
        try:
            text = self._store.get(f"{folder}/{self._format.names}" if folder else self._format.names).decode()
        except (Missing, UnicodeDecodeError):
            text = ""
        names = [line.strip() for line in text.splitlines() if line.strip()]
        return names if len(names) == self._format.classes else [str(label) for label in range(self._format.classes)]

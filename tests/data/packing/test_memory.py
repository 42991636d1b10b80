"""Memory does not grow with the pixels of the source."""

import tracemalloc
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest

from unecho.components.config.fields import Data
from unecho.components.data.prepare import pack_source as prepare
from unecho.components.data.sources.arrays import decode_arrays
from unecho.components.progress import Silent
from unecho.components.store.directory import DirectoryStore


class Synthetic:
    """Any number of images of 32x32 pixels, made when they are asked for."""

    layout, address, fingerprint = "images", "synthetic", "0"
    groups = test = located = None

    def __init__(self, count: int) -> None:
        self.count, self.notes = count, []
        self.labels, self.label_names = np.zeros(count, np.int32), ["one"]

    def native(self) -> tuple[int, int]:
        return 3, 32

    def name(self, item: int) -> str:
        return f"{item:08}.png"

    def captions(self, item: int) -> tuple[str, ...]:
        return ()

    def decode(self, wanted: Iterable[range], fit, workers: int) -> Iterator:
        def read(items: range) -> np.ndarray:
            return np.random.default_rng(items.start).integers(0, 256, (len(items), 3, 32, 32), dtype=np.uint8)

        return decode_arrays(read, wanted, fit)


def peak_of_prepare(root: Path, count: int, data: Data) -> int:
    tracemalloc.start()
    manifest = prepare(DirectoryStore(root), Synthetic(count), data, "0", 1, Silent())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert manifest.samples == min(count, (data.train_limit or count) + 500)
    return peak


@pytest.mark.parametrize("limit", [None, 2000])
def test_a_source_three_times_as_large_takes_hardly_more_memory(tmp_path: Path, limit: int | None) -> None:
    data = Data(chunk_mib=1, held_out=0.1, train_limit=limit, held_out_limit=limit and 500)
    data = data if limit else Data(chunk_mib=1, held_out=0.1)
    small = peak_of_prepare(tmp_path / "small", 8_000, data)
    large = peak_of_prepare(tmp_path / "large", 24_000, data)
    pixels = 16_000 * 3072
    assert large - small < pixels / 8  # digests, labels, names: a few hundred bytes a sample
    assert large < 24_000 * 3072

"""Near duplicates of synthetic images of 32 px with natural images' spectrum: seconds and memory of four times as many.

No goal is given: where nothing is quadratic, four times as many images take a little more than four times as long.
"""

import numpy as np
from numpy.typing import NDArray

from tests.benchmarks.memory import in_own_process
from tests.benchmarks.turns import Work
from unecho.components.data.near_duplicates import near_groups

SIDE, COUNTS = 32, (50_000, 200_000)


class Images:
    """Made when they are asked for, each out of its own number."""

    def __init__(self, count: int) -> None:
        self._count = count
        frequency = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE)[None])
        frequency[0, 0] = 1
        self._spectrum = frequency**-1.5

    def __len__(self) -> int:
        return self._count

    def take(self, positions: NDArray[np.int64]) -> NDArray[np.uint8]:
        draw = np.random.default_rng(int(positions[0]))
        noise = np.fft.rfft2(draw.standard_normal((len(positions), SIDE, SIDE)))
        images = np.fft.irfft2(noise * self._spectrum, (SIDE, SIDE))
        contrast, level = (draw.uniform(low, high, (len(positions), 1, 1)) for low, high in ((20, 60), (80, 170)))
        images = images / images.std(axis=(1, 2), keepdims=True) * contrast + level
        return np.clip(images, 0, 255).astype(np.uint8)[:, None]


def benchmark() -> None:
    few, many = (in_own_process(_ready, count) for count in COUNTS)
    for count, used in zip(COUNTS, (few, many), strict=True):
        print(f"  {count:,} images: {used}: {used.peak / count:.0f} bytes an image")
    more = (many.peak - few.peak) / (COUNTS[1] - COUNTS[0])
    print(f"  {many.cost.cpu / few.cost.cpu:.1f}x the processor time, {more:.0f} bytes an image more")


def _ready(count: int) -> Work:
    images = Images(count)
    return lambda: near_groups(images, np.arange(count), 0.03)

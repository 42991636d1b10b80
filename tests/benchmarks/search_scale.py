"""The search for near-copies among very many training images, in full and by candidates (goal: none given).

The training images are in nobody's memory: each block is made when it is read, and what that takes is told apart. The
first query images are noisy copies, mirrored ones too; the ways are those of training with shifts, as in an audit.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from tests.benchmarks.memory import MIB, Used, in_own_process
from tests.benchmarks.turns import Work
from unecho.components.config.fields import TAA, Evaluate
from unecho.components.measures.candidates import closeness_by_candidates
from unecho.components.measures.images import InMemory
from unecho.components.measures.memorization import closeness_of
from unecho.components.measures.transforms import stages

THREADS = 1
CPU = torch.device("cpu")
_POOL = 4096


def benchmark(
    sizes: tuple[tuple[int, int, int, int], ...] = (
        (256, 1_000_000, 3, 32),
        (256, 10_000_000, 1, 8),
        (2048, 100_000, 3, 32),
    ),
) -> None:
    """
    Args:
        sizes: queries, training images, channels, side.
    """
    for size in sizes:
        queries, training, channels, side = size
        print(f"  {queries:,} in {training:,} of {channels}x{side}x{side}, {THREADS} thread")
        made = in_own_process(_made, *size)
        for name, ready in (("in full", _full), ("by candidates", _candidates)):
            _tell(name, in_own_process(ready, *size), made, _PASSES[name])


_PASSES = {"in full": 1, "by candidates": 3}


def _tell(name: str, used: Used, made: Used, passes: int) -> None:
    own = used.cost.cpu - passes * made.cost.cpu
    print(
        f"  {name}: {used}; without making the images {own:.1f} s of processor, {made.peak / MIB:.0f} MiB held by those"
    )


class Made:
    """Training images that are made of two of a pool and of noise, the same ones at every look."""

    def __init__(self, count: int, channels: int, side: int) -> None:
        draw = np.random.default_rng(0)
        coarse = torch.from_numpy(draw.uniform(0, 255, (_POOL, channels, 4, 4)).astype(np.float32))
        smooth = torch.nn.functional.interpolate(coarse, (side, side), mode="bilinear").numpy()
        self._count, self._pool = count, (smooth / 2).astype(np.uint8)
        self._noise = draw.integers(-12, 13, (997, channels, side, side)).astype(np.int8)

    def __len__(self) -> int:
        return self._count

    def take(self, positions: NDArray[np.int64]) -> NDArray[np.uint8]:
        first, second = positions % _POOL, (positions // _POOL * 31 + positions * 7 + 1) % _POOL
        images = self._pool[first] + self._pool[second]
        images.clip(12, 243, out=images)
        images += self._noise[positions % 997].view(np.uint8)  # modulo 256, so that it adds or subtracts
        return images


def _queries(queries: int, training: Made) -> InMemory:
    """A quarter are copies, half of these mirrored; the others are made as training images are."""
    draw, quarter = np.random.default_rng(1), queries // 4
    copies = training.take(draw.integers(0, len(training), quarter))
    copies[::2] = copies[::2, :, :, ::-1]
    noisy = (copies + draw.normal(0, 5, copies.shape)).round().clip(0, 255).astype(np.uint8)
    others = training.take(len(training) + np.arange(queries - quarter, dtype=np.int64) * 101)
    return InMemory(np.concatenate([noisy, others]))


def _made(queries: int, training: int, channels: int, side: int) -> Work:
    images = Made(training, channels, side)

    def work() -> None:
        for first in range(0, training, 4096):
            images.take(np.arange(first, min(training, first + 4096)))

    return work


def _full(queries: int, training: int, channels: int, side: int) -> Work:
    torch.set_num_threads(THREADS)
    images = Made(training, channels, side)
    sets, config = {"": _queries(queries, images)}, Evaluate()
    return lambda: closeness_of(sets, images, stages(TAA()), config, CPU)


def _candidates(queries: int, training: int, channels: int, side: int) -> Work:
    torch.set_num_threads(THREADS)
    images = Made(training, channels, side)
    sets, config = {"": _queries(queries, images)}, Evaluate()
    return lambda: closeness_by_candidates(sets, images, stages(TAA()), config, CPU)

"""evaluate's exact search for nearest neighbours, against a bare matrix product and topk (goal: at most 1.3x)."""

import numpy as np
import torch

from tests.benchmarks.memory import MIB, in_own_process
from tests.benchmarks.turns import Work, in_turns
from unecho.components.measures.images import InMemory
from unecho.components.measures.neighbours import nearest
from unecho.components.measures.transforms import IDENTITY

K = 50
CPU = torch.device("cpu")


def benchmark() -> None:
    torch.set_num_threads(2)
    for side, channels, queries, training in ((32, 3, 2048, 16_384), (8, 1, 4096, 16_384)):
        q, x = _random(queries, channels, side, 0), _random(training, channels, side, 1)
        a, b = (torch.from_numpy(images).flatten(1).float() for images in (q, x))
        turns = in_turns(_search(q, x), lambda a=a, b=b: _bare(a, b), 5)
        print(f"  {queries} of {channels}x{side}x{side} in {training}: {turns.ratio('cpu')}; {turns.ratio('wall')}")
    for queries, training in ((2048, 10_000), (4096, 40_000)):
        used = in_own_process(_ready, queries, training)
        held = (queries + training) * 3 * 32 * 32
        print(f"  {queries} of 3x32x32 in {training}: {used} beside the {held / MIB:.0f} MiB of the images")


def _random(count: int, channels: int, side: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, channels, side, side), np.uint8)


def _search(queries: np.ndarray, training: np.ndarray) -> Work:
    return lambda: nearest(InMemory(queries), InMemory(training), ((IDENTITY,),), K, CPU)


def _ready(queries: int, training: int) -> Work:
    torch.set_num_threads(2)
    return _search(_random(queries, 3, 32, 0), _random(training, 3, 32, 1))


def _bare(queries: torch.Tensor, training: torch.Tensor, rows: int = 1024) -> None:
    """Products with all training images at once, float32, and their topk: no distances, not exact."""
    for first in range(0, len(queries), rows):
        (queries[first : first + rows] @ training.T).topk(K, dim=1)

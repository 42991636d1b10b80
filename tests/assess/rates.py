"""How often each verdict is reached, over many sets of images that were measured once."""

from collections import Counter

import numpy as np
import torch
from numpy.typing import NDArray

from unecho.components.assess.beside import BesideCloseness
from unecho.components.assess.memorization import memorization_of
from unecho.components.config import resolve
from unecho.components.measures.images import InMemory
from unecho.components.measures.memorization import Closeness, closeness
from unecho.components.measures.transforms import stages
from unecho.components.measures.verdict import cited, judged

CONFIG = resolve(None, "default")
GENERATED, HELD_OUT = 2048, 500
RUNS = 300


def measured_beside(training: NDArray[np.uint8], images: NDArray[np.uint8]) -> list[Closeness]:
    """How close images come to training images, plain and augmentation-aware."""
    torch.set_num_threads(1)
    return closeness(InMemory(images), InMemory(training), stages(CONFIG.taa), CONFIG.evaluate, torch.device("cpu"))


def verdicts(real: list[Closeness], copies: list[Closeness], share: float) -> dict[str, float]:
    """How often each verdict is reached of a model that copies a share of its images.

    Args:
        real: of images that its others and the held-out ones are drawn from, each as often as chance has it.
        copies: of images that its copies are drawn from.
    """
    draw, seen = np.random.default_rng(1), Counter[str]()
    planted = round(share * GENERATED)
    for _ in range(RUNS):
        held_out, rest = (draw.integers(len(real[0].mq), size=n) for n in (HELD_OUT, GENERATED - planted))
        copied = draw.integers(len(copies[0].mq), size=planted)
        generated = [_joined(_of(fresh, rest), _of(same, copied)) for fresh, same in zip(real, copies, strict=True)]
        floors = [_of(stage, held_out) for stage in real]
        figures = memorization_of(CONFIG, generated, floors, np.zeros(HELD_OUT, np.bool_), BesideCloseness())
        seen[cited(judged(figures, CONFIG.evaluate.deciding, CONFIG.evaluate.margin)).verdict] += 1
    return {verdict: count / RUNS for verdict, count in seen.items()}


def _of(images: Closeness, chosen: NDArray[np.int64]) -> Closeness:
    return Closeness(*(values[chosen] for values in vars(images).values()))


def _joined(one: Closeness, other: Closeness) -> Closeness:
    return Closeness(*(np.concatenate(values) for values in zip(vars(one).values(), vars(other).values(), strict=True)))

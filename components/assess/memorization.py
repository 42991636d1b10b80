"""Memorization beside its floor: every threshold, plain and augmentation-aware."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ..config import RunConfig
from ..measures.intervals import Share
from ..measures.memorization import Closeness
from ..measures.verdict import Measure, Memorization, beside_floor
from .beside import BesideCloseness


def memorization_of(
    config: RunConfig,
    measured: Sequence[Closeness],
    floors: Sequence[Closeness],
    near: NDArray[np.bool_],
    beside: BesideCloseness,
) -> list[Memorization]:
    """Every threshold, plain and augmentation-aware.

    Args:
        measured, floors: of the generated and of the held-out images; without held-out images there is no floor.
        near: which held-out images have a near duplicate in the training set.
        beside: other sets, measured likewise.
    """
    figures = []
    bound = config.evaluate.second_nearest
    for aware, (generated, floor) in enumerate(zip(measured, floors, strict=True)):
        sets = (generated, floor, floor.of(~near))
        for tau in config.evaluate.thresholds:
            count = _below(tau)
            figure = _beside_floors("mq", bool(aware), tau, [count(one) for one in sets])
            figures.append(figure.model_copy(update=beside.shares(aware, count)))
        count = _far_nearer(bound)
        figure = _beside_floors("second_nearest", bool(aware), bound, [count(one) for one in sets])
        figures.append(figure.model_copy(update=beside.shares(aware, count)))
    return figures


def _below(tau: float) -> Callable[[Closeness], Share]:
    return lambda images: Share.counted(images.below(tau), len(images.mq))


def _far_nearer(ratio: float) -> Callable[[Closeness], Share]:
    return lambda images: Share.counted(images.far_nearer(ratio), len(images.mq))


def _beside_floors(measure: Measure, aware: bool, threshold: float, shares: Sequence[Share]) -> Memorization:
    """From the shares of the generated, the held-out, and the held-out images without near copies."""
    generated, floor, apart = shares
    if not floor.of:
        return beside_floor(measure, aware, threshold, generated, None)
    some = 0 < apart.of < floor.of
    return beside_floor(measure, aware, threshold, generated, floor, floor_apart=apart if some else None)

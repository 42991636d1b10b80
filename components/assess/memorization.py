"""Memorization beside its floor: every threshold, plain and augmentation-aware."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..config import RunConfig
from ..measures.intervals import Share
from ..measures.memorization import Closeness
from ..measures.verdict import Measure, Memorization, beside_floor


def memorization_of(
    config: RunConfig, measured: Sequence[Closeness], floors: Sequence[Closeness], near: NDArray[np.bool_]
) -> list[Memorization]:
    """Every threshold, plain and augmentation-aware.

    Args:
        measured, floors: of the generated and of the held-out images; without held-out images there is no floor.
        near: which held-out images have a near duplicate in the training set.
    """
    figures = []
    bound = config.evaluate.second_nearest
    for aware, (generated, floor) in enumerate(zip(measured, floors, strict=True)):
        sets = (generated, floor, floor.of(~near))
        for tau in config.evaluate.thresholds:
            figures.append(_beside_floors("mq", bool(aware), tau, [(c.below(tau), len(c.mq)) for c in sets]))
        counts = [(c.far_nearer(bound), len(c.mq)) for c in sets]
        figures.append(_beside_floors("second_nearest", bool(aware), bound, counts))
    return figures


def _beside_floors(measure: Measure, aware: bool, threshold: float, counts: Sequence[tuple[int, int]]) -> Memorization:
    """From how many of how many images of the generated, the held-out, and the held-out without near copies."""
    generated, floor, apart = (Share.counted(*count) for count in counts)
    if not floor.of:
        return beside_floor(measure, aware, threshold, generated, None)
    some = 0 < apart.of < floor.of
    return beside_floor(measure, aware, threshold, generated, floor, floor_apart=apart if some else None)

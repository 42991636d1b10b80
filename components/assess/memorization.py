"""Memorization beside its floor: every threshold, plain and augmentation-aware."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ..config import RunConfig
from ..measures.intervals import Share
from ..measures.likeness import Likeness
from ..measures.memorization import Closeness
from ..measures.template import TEMPLATE, WHOLE
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


def copies_of(
    config: RunConfig,
    measured: Mapping[str, Likeness],
    floor: Likeness | None,
    near: NDArray[np.bool_],
    by_originals: Share | None = None,
) -> list[Memorization]:
    """What a copy descriptor finds.

    Args:
        measured: the sets "generated" and, where there are such, "base" and "ceiling".
        floor: of the held-out images; near: which of these have a near duplicate in the training set.
        by_originals: of the ceiling, by similarity to the training images themselves.
    """
    bound, threshold = config.evaluate.second_nearest, config.evaluate.descriptor_threshold
    found: list[tuple[Measure, float, Callable[[Likeness], NDArray[np.bool_]]]] = [
        ("descriptor", threshold, lambda of: of.above(threshold)),
        ("descriptor_second", bound, lambda of: of.far_nearer(bound)),
    ]
    if measured["generated"].extent:
        found.append(("descriptor_whole", WHOLE, lambda of: of.whole))
        found.append(("descriptor_template", TEMPLATE, lambda of: of.template))
    sets = (measured["generated"], *((floor, floor.of(~near)) if floor else ()))
    figures = []
    for measure, limit, copies in found:
        figure = _beside_floors(measure, True, limit, [_counted(copies(of)) for of in sets])
        beside = {name: _counted(copies(measured[name])) for name in ("base", "ceiling") if name in measured}
        extent = ("descriptor_whole", "descriptor_template")
        if measure in extent and "ceiling" in measured and (originals := measured["ceiling"].by_originals):
            beside["ceiling_pixels"] = _counted(originals[extent.index(measure)])
        elif by_originals and measure == "descriptor":
            beside["ceiling_pixels"] = by_originals
        figures.append(figure.model_copy(update=beside))
    own = {name: of.similar.own[~np.isnan(of.similar.own)] for name, of in measured.items()}
    if len(own["generated"]):
        generated, base = (_counted(own[name] > threshold) if name in own else None for name in ("generated", "base"))
        assert generated is not None
        figure = beside_floor("descriptor_own", True, threshold, generated, None)
        figures.append(figure.model_copy(update={"base": base}))
    return figures


def _counted(copies: NDArray[np.bool_]) -> Share:
    return Share.counted(int(copies.sum()), len(copies))


def _beside_floors(measure: Measure, aware: bool, threshold: float, shares: Sequence[Share]) -> Memorization:
    """From the shares of the generated, the held-out, and the held-out images without near copies."""
    generated, *floors = shares
    if not floors or not floors[0].of:
        return beside_floor(measure, aware, threshold, generated, None)
    floor, apart = floors
    some = 0 < apart.of < floor.of
    return beside_floor(measure, aware, threshold, generated, floor, floor_apart=apart if some else None)

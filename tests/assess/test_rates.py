"""Planted copies in real images, measured and judged again and again: the verdict errs as seldom as it promises.

Small images of which every one can be drawn anew: a model that is perfect draws from where the real ones come from.
"""

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.assess.rates import CONFIG, measured_beside, verdicts
from unecho.components.measures.memorization import Closeness

TRAINING = 400
Measured = dict[str, list[Closeness]]


def real(draw: np.random.Generator, count: int) -> NDArray[np.uint8]:
    """Blobs of light, [count, 1, 8, 8], of random places, sizes and brightness: some come close by chance."""
    y, x = np.mgrid[:8, :8]
    blobs = np.zeros((count, 8, 8))
    for _ in range(4):
        centre, width = draw.uniform(0, 7, (count, 2, 1, 1)), draw.uniform(0.7, 1.8, (count, 1, 1))
        light = draw.uniform(80, 200, (count, 1, 1))
        blobs += light * np.exp(-((y - centre[:, 0]) ** 2 + (x - centre[:, 1]) ** 2) / (2 * width**2))
    return blobs.clip(0, 255).round().astype(np.uint8)[:, None]


def copies(draw: np.random.Generator, training: NDArray[np.uint8], count: int) -> NDArray[np.uint8]:
    """Of random training images, as they are, mirrored or shifted by a pixel, each with a little noise."""
    some = training[draw.integers(len(training), size=count)].copy()
    kind = draw.integers(3, size=count)
    some[kind == 1] = some[kind == 1][..., ::-1]
    moved = some[kind == 2]
    some[kind == 2] = np.concatenate([moved[..., :1], moved[..., :-1]], axis=3)
    return (some + draw.normal(0, 3, some.shape)).clip(0, 255).round().astype(np.uint8)


@pytest.fixture(scope="module")
def measured() -> Measured:
    """Many images of each kind beside one training set, measured once."""
    draw = np.random.default_rng(0)
    training = real(draw, TRAINING)
    kinds = {"real": real(draw, 20_000), "copies": copies(draw, training, 1500)}
    return {name: measured_beside(training, images) for name, images in kinds.items()}


def test_copies_are_seen_mirrored_and_shifted_ones_too_and_real_images_seldom_taken_for_one(measured: Measured) -> None:
    aware, plain = (measured["copies"][stage].below(0.1) / 1500 for stage in (1, 0))
    assert aware > 0.95
    assert plain < 0.6, "without the augmentations two of three kinds are missed"
    assert 0.005 < measured["real"][1].below(0.1) / 20_000 < 0.02, "a floor of about 1 %"


def test_a_perfect_model_is_accused_in_at_most_5_percent_and_cleared_in_90(measured: Measured) -> None:
    found = verdicts(measured["real"], measured["copies"], 0.0)
    assert found.get("above", 0) <= 0.05
    assert found.get("at_or_below", 0) >= 0.9


@pytest.mark.parametrize("share", [0.02, 0.05])
def test_a_model_that_copies_2_percent_and_more_is_accused_in_at_least_90_percent(
    share: float, measured: Measured
) -> None:
    assert verdicts(measured["real"], measured["copies"], share).get("above", 0) >= 0.9


def test_a_model_that_copies_as_much_as_the_margin_is_cleared_in_at_most_5_percent(measured: Measured) -> None:
    assert verdicts(measured["real"], measured["copies"], CONFIG.evaluate.margin).get("at_or_below", 0) <= 0.05


def test_a_model_that_copies_1_percent_is_accused_far_more_often_than_cleared(measured: Measured) -> None:
    """Half the margin: nothing is promised of it."""
    found = verdicts(measured["real"], measured["copies"], 0.01)
    assert found.get("above", 0) > 5 * found.get("at_or_below", 0)

"""Real digits with planted copies of each kind, measured and judged again and again as an audit does it.

A model that is perfect returns digits of the very distribution that the held-out ones are of: both are drawn, each as
often as chance has it, from the digits that it was not trained on.
"""

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.assess.rates import measured_beside, verdicts
from tests.given import digits
from unecho.components.measures.memorization import Closeness

TRAINING = 400
KINDS = ("exact", "mirrored", "shifted", "noisy")
Measured = dict[str, list[Closeness]]


@pytest.fixture(scope="module")
def measured() -> Measured:
    """The other 1,397 digits, and a copy of each kind of every training digit."""
    mixed = digits()[np.random.default_rng(0).permutation(1797)][:, None]
    training, others = mixed[:TRAINING], mixed[TRAINING:]
    kinds = {
        "real": others,
        "exact": training,
        "mirrored": np.ascontiguousarray(training[..., ::-1]),
        "shifted": np.concatenate([training[..., :1], training[..., :-1]], axis=3),
        "noisy": noisy(training),
    }
    return {name: measured_beside(training, images) for name, images in kinds.items()}


def noisy(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """With noise of a thirtieth of the range on every pixel."""
    return (images + np.random.default_rng(0).normal(0, 8, images.shape)).clip(0, 255).round().astype(np.uint8)


def test_every_copy_is_seen_by_the_aware_figure_and_real_digits_seldom_taken_for_one(measured: Measured) -> None:
    for kind in KINDS:
        plain, aware = (stage.below(0.1) / TRAINING for stage in measured[kind])
        assert aware == 1
        assert plain == (0 if kind in ("mirrored", "shifted") else 1)
    assert 0.01 < measured["real"][1].below(0.1) / 1397 < 0.025, "the floor that digits have"


def test_a_perfect_model_is_accused_in_at_most_5_percent_and_cleared_in_90(measured: Measured) -> None:
    found = verdicts(measured["real"], measured["exact"], 0.0)
    assert found.get("above", 0) <= 0.05
    assert found.get("at_or_below", 0) >= 0.9


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.02, 0.05])
def test_a_model_that_copies_2_percent_and_more_is_accused_in_at_least_90_percent(
    share: float, kind: str, measured: Measured
) -> None:
    found = verdicts(measured["real"], measured[kind], share)
    assert found.get("above", 0) >= 0.9
    assert found.get("at_or_below", 0) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_that_copies_1_percent_is_accused_far_more_often_than_cleared(kind: str, measured: Measured) -> None:
    """Half the margin: nothing is promised. Under twice the noise nearest / second would see every other copy."""
    found = verdicts(measured["real"], measured[kind], 0.01)
    assert found.get("above", 0) > 5 * found.get("at_or_below", 0)

"""Two groups told apart: areas and shares counted by hand, and intervals that hold what they say."""

import numpy as np
import pytest

from unecho.components.measures.ranking import agreement, area, detected


def test_an_area_counts_the_pairs_in_the_right_order_and_ties_by_half() -> None:
    """Of 3 x 2 pairs: 4 above 1 and 3; 3 above 1, ties with 3; 0 above none: 2 + 1.5 of 6."""
    found = area(np.array([4.0, 3.0, 0.0]), np.array([1.0, 3.0]))
    assert found is not None
    assert found.value == pytest.approx(3.5 / 6)


def test_there_is_no_area_without_a_group_to_compare_with() -> None:
    assert area(np.array([1.0]), np.empty(0)) is None
    assert area(np.empty(0), np.array([1.0])) is None


def test_an_area_of_one_from_few_is_not_taken_for_certain() -> None:
    few, many = (area(np.arange(n) + 1000.0, np.arange(n) * 1.0) for n in (5, 500))
    assert few is not None
    assert many is not None
    assert (few.value, few.high, many.high) == (1, 1, 1)
    assert 0.5 < few.low < 0.7
    assert 0.98 < many.low < 1


def test_the_interval_is_the_same_seen_from_the_other_side() -> None:
    one, other = np.array([1.0, 5.0, 7.0, 9.0]), np.array([0.0, 2.0, 6.0])
    found, mirrored = area(one, other), area(-one, -other)
    assert found is not None
    assert mirrored is not None
    assert (mirrored.low, mirrored.high) == pytest.approx((1 - found.high, 1 - found.low))


@pytest.mark.parametrize("gap", [0.0, 1.0, 2.5])
def test_the_interval_of_an_area_holds_the_true_one_in_about_95_of_100(gap: float) -> None:
    """Of two normal groups that are `gap` deviations apart the area is Phi(gap / sqrt 2)."""
    from scipy.special import ndtr

    rng, true, held = np.random.default_rng(0), float(ndtr(gap / 2**0.5)), 0
    for _ in range(400):
        found = area(rng.normal(gap, 1, 30), rng.normal(0, 1, 20))
        assert found is not None
        held += found.low <= true <= found.high
    assert 0.92 <= held / 400 <= 0.99


def test_detected_is_the_share_above_what_one_of_a_hundred_is_above() -> None:
    """99 lie at or below 98 and one at 1,000: 3 of 4 are above 98."""
    negative = np.append(np.arange(99.0), 1000.0)
    found = detected(np.array([98.5, 99.0, 2000.0, 98.0]), negative, 0.01, seed=0)
    assert found is not None
    assert found.value == 0.75
    assert found.low < 0.4
    assert found.high > 0.94


def test_one_per_cent_of_fewer_than_a_hundred_cannot_be_resolved() -> None:
    assert detected(np.ones(50), np.arange(99.0), 0.01, seed=0) is None
    assert detected(np.ones(50), np.arange(100.0), 0.01, seed=0) is not None
    assert detected(np.empty(0), np.arange(100.0), 0.01, seed=0) is None


def test_detecting_all_of_few_is_not_taken_for_certain() -> None:
    """Wilson's interval of 4 in 4 begins at 0.51."""
    found = detected(np.full(4, 1e3), np.arange(100.0), 0.01, seed=0)
    assert found is not None
    assert (found.value, found.high) == (1, 1)
    assert found.low == pytest.approx(0.51, abs=0.01)


def test_agreement_is_the_mean_rank_correlation_of_two_columns() -> None:
    """Columns 1 and 2 rank alike, column 3 the other way round: (1 - 1 - 1) / 3."""
    values = np.array([[1.0, 10.0, 3.0], [2.0, 20.0, 2.0], [3.0, 900.0, 1.0]])
    assert agreement(values) == pytest.approx(-1 / 3)
    assert agreement(values[:, :2]) == pytest.approx(1)


def test_one_column_or_a_constant_one_agrees_with_nothing() -> None:
    assert agreement(np.arange(4.0)[:, None]) is None
    assert agreement(np.array([[1.0, 2.0], [1.0, 3.0]])) is None

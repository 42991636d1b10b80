import numpy as np
import pytest
from scipy.stats import fisher_exact, norm

from unecho.components.measures.intervals import (
    Share,
    difference,
    highest_excess,
    highest_share,
    holm,
    p_above,
    p_beyond,
    wilson,
)


@pytest.mark.parametrize(
    ("count", "of", "low", "high"),
    [
        # Newcombe 1998 (Stat Med 17:857-872), table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_intervals_have_their_published_values(count: int, of: int, low: float, high: float):
    assert wilson(count, of) == pytest.approx((low, high), abs=5e-5)


def test_the_interval_of_all_mirrors_that_of_none():
    low, high = wilson(0, 37)
    assert wilson(37, 37) == pytest.approx((1 - high, 1 - low))
    assert wilson(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("a", "b", "low", "high"),
    [
        # Newcombe 1998 (Stat Med 17:873-890), table II, method 10
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((0, 10), (0, 20), -0.1611, 0.2775),
        ((10, 10), (0, 20), 0.6791, 1.0000),
    ],
)
def test_difference_intervals_have_their_published_values(
    a: tuple[int, int], b: tuple[int, int], low: float, high: float
):
    assert difference(Share.counted(*a), Share.counted(*b)) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(
    "counts", [(0, 100, 0, 50), (17, 2048, 0, 500), (41, 2048, 5, 500), (3, 10, 9, 10), (10, 10, 0, 7)]
)
def test_the_test_of_an_echo_is_fishers_by_mid_p(counts: tuple[int, int, int, int]):
    count, of, floor, floor_of = counts
    table = [[count, of - count], [floor, floor_of - floor]]
    exact = fisher_exact(table, alternative="greater").pvalue
    more = [[count + 1, of - count - 1], [floor - 1, floor_of - floor + 1]]  # the next table with the same margins
    beyond = fisher_exact(more, alternative="greater").pvalue if min(min(row) for row in more) >= 0 else 0
    assert p_above(*counts) == pytest.approx((exact + beyond) / 2)  # half of what is as extreme


@pytest.mark.parametrize(
    "counts", [(0, 100, 0, 50), (20, 2048, 5, 500), (60, 2048, 5, 500), (5, 60, 20, 40), (60, 60, 0, 40)]
)
def test_the_test_of_non_inferiority_is_the_score_test_whose_shares_a_search_finds(counts: tuple[int, int, int, int]):
    count, of, floor, floor_of = counts
    margin = 0.02
    lower = np.linspace(0, 1 - margin, 2_000_001)[1:-1]
    upper = lower + margin
    likely = (
        count * np.log(upper)
        + (of - count) * np.log1p(-upper)
        + floor * np.log(lower)
        + (floor_of - floor) * np.log1p(-lower)
    )
    best = int(np.argmax(likely))
    p, q = upper[best], lower[best]
    deviation = np.sqrt(p * (1 - p) / of + q * (1 - q) / floor_of)
    expected = norm.cdf((count / of - floor / floor_of - margin) / deviation)
    assert p_beyond(*counts, margin) == pytest.approx(expected, rel=1e-3, abs=1e-12)


def test_both_tests_take_many_counts_at_once():
    counts, floors = np.array([0, 10, 60]), np.array([0, 5, 5])
    for test in (p_above, lambda *given: p_beyond(*given, 0.02)):
        together = test(counts, 2048, floors, 500)
        one_by_one = [float(test(int(c), 2048, int(f), 500)) for c, f in zip(counts, floors, strict=True)]
        assert together.tolist() == pytest.approx(one_by_one)


def test_holm_multiplies_the_least_by_their_number_and_never_falls():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([0.02]) == [0.02]
    assert holm([]) == []


@pytest.mark.parametrize(
    ("count", "of", "high"),
    # Newcombe 1998 (Stat Med 17:857-872), table I, method 5
    [(81, 263, 0.3676), (15, 148, 0.1617), (0, 20, 0.1684), (1, 29, 0.1776)],
)
def test_the_upper_bound_of_a_share_is_clopper_and_pearsons(count: int, of: int, high: float):
    assert highest_share(count, of, 0.975) == pytest.approx(high, abs=5e-5)
    assert highest_share(of, of, 0.975) == 1.0


def test_none_of_n_are_at_most_the_share_of_which_none_would_be_found_so_seldom():
    assert highest_share(0, 299, 0.95) == pytest.approx(1 - 0.05 ** (1 / 299))


def test_the_highest_excess_is_the_margin_that_is_just_ruled_out():
    z2 = norm.ppf(0.95) ** 2
    assert highest_excess(0, 300, 0, 50, 0.95) == pytest.approx(z2 / (300 + z2))  # margin^2 / variance = z^2, by hand
    for counts in ((20, 2048, 5, 500), (60, 2048, 5, 500), (3, 10, 9, 10)):
        bound = highest_excess(*counts, 0.9)
        assert p_beyond(*counts, bound + 1e-6) < 0.1
        assert bound == 0 or p_beyond(*counts, bound - 1e-6) > 0.1
    assert highest_excess(0, 2048, 100, 500, 0.95) == 0.0

import pytest

from unecho.components.measures.intervals import Share, difference, wilson


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

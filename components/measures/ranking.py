"""How well one number tells two groups apart: the area under the ROC curve, and how many at few false alarms."""

from itertools import combinations
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from .intervals import QUANTILE, wilson

Values = NDArray[np.float64]
_DRAWS: Final = 2000
_HALVINGS: Final = 60


class Estimate(BaseModel):
    """A number with its 95 % interval."""

    model_config = ConfigDict(frozen=True)

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, value: float, bounds: tuple[float, float]) -> Self:
        return cls(value=value, low=bounds[0], high=bounds[1])


def area(positive: Values, negative: Values) -> Estimate | None:
    """AUC: how often a positive is above a negative, ties counting half; with Newcombe's interval.

    The interval holds the areas that are within 1.96 of their own standard deviations (R. G. Newcombe, 2006, method 5,
    after J. A. Hanley and B. J. McNeil, 1982), so that it is sound at 0 and at 1, where the area's own is zero.

    Returns:
        None where one of both is empty.
    """
    n, m = len(positive), len(negative)
    if not n or not m:
        return None
    found = area_under(positive, negative)
    return Estimate.of(found, (_bound(found, 0.0, n, m), _bound(found, 1.0, n, m)))


def area_under(positive: Values, negative: Values) -> float:
    """The area alone; neither may be empty."""
    ordered = np.sort(negative)
    below, at_most = (np.searchsorted(ordered, positive, side) for side in ("left", "right"))
    return float((below + at_most).sum()) / (2 * len(positive) * len(negative))


def _bound(found: float, end: float, n: int, m: int) -> float:
    """The area between `found` and `end` that is just within reach of `found`."""
    inside, outside = found, end
    for _ in range(_HALVINGS):
        middle = (inside + outside) / 2
        if abs(middle - found) <= QUANTILE * _deviation(middle, n, m):
            inside = middle
        else:
            outside = middle
    return inside


def _deviation(area: float, n: int, m: int) -> float:
    """Of an estimate of that area from n and m values (exponential ones; both n replaced by their mean)."""
    mean = (n + m) / 2 - 1
    spread = 1 + mean * (1 - area) / (2 - area) + mean * area / (1 + area)
    return float((area * (1 - area) * spread / (n * m)) ** 0.5)


def detected(positive: Values, negative: Values, false_alarms: float, seed: int) -> Estimate | None:
    """Share of the positives above a threshold that at most this share of the negatives is above.

    The interval is the wider, at each end, of two: of a bootstrap over both groups, which also moves the threshold, and
    Wilson's of the share, which is sound at 0 and at 1.

    Args:
        seed: of the bootstrap.

    Returns:
        None where the negatives are too few for one of them to be no more than that share, or there is no positive.
    """
    n, m = len(positive), len(negative)
    allowed = int(false_alarms * m + 1e-9)
    if not n or not allowed:
        return None
    found = int((positive > np.sort(negative)[m - 1 - allowed]).sum())
    draws, rng = np.empty(_DRAWS), np.random.default_rng(seed)
    for draw in range(_DRAWS):
        threshold = np.partition(negative[rng.integers(0, m, m)], m - 1 - allowed)[m - 1 - allowed]
        draws[draw] = (positive[rng.integers(0, n, n)] > threshold).mean()
    low, high = np.quantile(draws, (0.025, 0.975)).tolist()
    one, other = wilson(found, n)
    return Estimate.of(found / n, (min(low, one), max(high, other)))


def agreement(values: Values) -> float | None:
    """Mean Spearman correlation of every two columns; None where there is one column, or one that is constant.

    Args:
        values: [n, columns].
    """
    from scipy.stats import rankdata  # a second to import

    ranks = np.stack([rankdata(column) for column in values.T]) if values.size else np.empty((0, 0))
    if len(ranks) < 2 or (ranks.std(axis=1) == 0).any():
        return None
    correlations = np.corrcoef(ranks)
    return float(np.mean([correlations[pair] for pair in combinations(range(len(ranks)), 2)]))

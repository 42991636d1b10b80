"""Shares with their binomial intervals, means with normal ones, and tests of one share against another."""

from collections.abc import Hashable, Sequence
from math import sqrt
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict

QUANTILE = 1.959963984540054
"""97.5 % of a normal distribution lie below so many deviations above its mean."""
_HALVINGS = 40


def wilson(count: int, of: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share (E. B. Wilson, 1927); sound at 0, at 1 and for small numbers."""
    if of == 0:
        return 0.0, 1.0
    share, z2 = count / of, QUANTILE * QUANTILE
    centre = (share + z2 / (2 * of)) / (1 + z2 / of)
    reach = QUANTILE * sqrt(share * (1 - share) / of + z2 / (4 * of * of)) / (1 + z2 / of)
    # rounding must not push the interval off the share that it is about
    return max(0.0, min(centre - reach, share)), min(1.0, max(centre + reach, share))


class Share(BaseModel):
    """`count` of `of`, with its 95 % interval."""

    model_config = ConfigDict(frozen=True)

    count: int
    of: int
    share: float
    low: float
    high: float

    @classmethod
    def counted(cls, count: int, of: int) -> Self:
        low, high = wilson(count, of)
        return cls(count=count, of=of, share=count / of if of else 0.0, low=low, high=high)


class Mean(BaseModel):
    """The mean of `of` values, with its 95 % interval."""

    model_config = ConfigDict(frozen=True)

    mean: float
    low: float
    high: float
    of: int

    @classmethod
    def of_values(cls, values: ArrayLike, groups: Sequence[Hashable] | None = None) -> Self | None:
        """With a normal interval. Values of one group count as one draw, which is what images of one prompt are.

        The variance is that of the groups' sums of residuals (K.-Y. Liang and S. Zeger, 1986) with the correction
        G / (G - 1); where every value is a group of its own, it is the sample variance over n.

        Args:
            values: [n].
            groups: of each value; None where each is by itself. Of one group alone the values are taken for draws.

        Returns:
            None for fewer than two values.
        """
        found, number = np.asarray(values, np.float64), dict[Hashable, int]()
        if len(found) < 2:
            return None
        owner = [number.setdefault(group, len(number)) for group in groups or ()]
        if len(number) < 2:
            owner = list(range(len(found)))
        mean = float(found.mean())
        sums = np.bincount(owner, found - mean)
        reach = QUANTILE * sqrt(len(sums) / (len(sums) - 1) * float(sums @ sums)) / len(found)
        return cls(mean=mean, low=mean - reach, high=mean + reach, of=len(found))


def difference(a: Share, b: Share) -> tuple[float, float]:
    """95 % interval of a.share - b.share (R. G. Newcombe, 1998, method 10: from the two Wilson intervals)."""
    gap = a.share - b.share
    return (
        gap - sqrt((a.share - a.low) ** 2 + (b.high - b.share) ** 2),
        gap + sqrt((a.high - a.share) ** 2 + (b.share - b.low) ** 2),
    )


def p_above(count: ArrayLike, of: int, floor: ArrayLike, floor_of: int) -> NDArray[np.float64]:
    """P-value of 'count / of is not above floor / floor_of': Fisher's exact test, one-sided, by mid-P.

    Given both counts together, the first is hypergeometric where the shares are equal (R. A. Fisher, 1934). The
    probability of what was seen counts half (H. O. Lancaster, 1961), since the exact test is at half its level for
    counts as small as copies are; that the level holds is simulated in the tests.

    Args:
        count, floor: one count or many, of the same shape.
    """
    from scipy.stats import hypergeom  # a second to import

    count, floor = np.asarray(count), np.asarray(floor)
    given = (of + floor_of, count + floor, of)
    return np.asarray(hypergeom.sf(count, *given) + hypergeom.pmf(count, *given) / 2, np.float64)


def p_beyond(count: ArrayLike, of: int, floor: ArrayLike, floor_of: int, margin: float) -> NDArray[np.float64]:
    """P-value of 'count / of is margin or more above floor / floor_of': the score test of non-inferiority.

    Both shares are estimated as likely as they can be with exactly `margin` between them, in closed form
    (C. P. Farrington and G. Manning, 1990; O. Miettinen and M. Nurminen, 1985); their variance divides the difference.

    Args:
        count, floor: one count or many, of the same shape.
        margin: in (0, 1).
    """
    from scipy.special import ndtr

    one, two = np.asarray(count) / of, np.asarray(floor) / floor_of
    ratio = floor_of / of
    a = 1 + ratio
    b = -(1 + ratio + one + ratio * two + margin * (ratio + 2))
    c = margin * margin + margin * (2 * one + ratio + 1) + one + ratio * two
    d = -one * margin * (1 + margin)
    v = (b / (3 * a)) ** 3 - b * c / (6 * a * a) + d / (2 * a)
    u = np.where(v < 0, -1, 1) * np.sqrt(np.maximum((b / (3 * a)) ** 2 - c / (3 * a), 0))
    cosine = np.divide(v, u**3, out=np.zeros_like(v), where=u != 0)
    upper = 2 * u * np.cos((np.pi + np.arccos(np.clip(cosine, -1, 1))) / 3) - b / (3 * a)
    upper = np.clip(upper, margin, 1)
    lower = np.clip(upper - margin, 0, 1)
    deviation = np.sqrt(upper * (1 - upper) / of + lower * (1 - lower) / floor_of)
    return np.asarray(ndtr((one - two - margin) / np.maximum(deviation, 1e-300)), np.float64)


def highest_share(count: float, of: int, confidence: float) -> float:
    """The upper bound of a share, one-sided and exact: it is below that in so many of all samples.

    C. J. Clopper and E. S. Pearson, 1934.

    Args:
        count: of `of`; a part of one where a sample size is sought.
        confidence: in (0, 1).
    """
    from scipy.stats import beta

    return 1.0 if count >= of else float(beta.ppf(confidence, count + 1, of - count))


def highest_excess(count: int, of: int, floor: int, floor_of: int, confidence: float) -> float:
    """How far a share is above its floor at most, one-sided: the least margin that `p_beyond` rules out.

    Returns:
        From 0 to 1; 0 where it is shown to be below the floor.
    """
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if p_beyond(count, of, floor, floor_of, middle) < 1 - confidence:
            high = middle
        else:
            low = middle
    return high if low else 0.0


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted so that the chance of any false rejection among all stays at the level (S. Holm, 1979)."""
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(np.argsort(p_values, kind="stable").tolist()):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = largest
    return adjusted

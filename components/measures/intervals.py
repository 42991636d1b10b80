"""Shares with their binomial intervals, and when two of them differ."""

from math import sqrt
from typing import Self

from pydantic import BaseModel, ConfigDict

_Z = 1.959963984540054  # 97.5 % quantile of the normal distribution


def wilson(count: int, of: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share (E. B. Wilson, 1927); sound at 0, at 1 and for small numbers."""
    if of == 0:
        return 0.0, 1.0
    share, z2 = count / of, _Z * _Z
    centre = (share + z2 / (2 * of)) / (1 + z2 / of)
    reach = _Z * sqrt(share * (1 - share) / of + z2 / (4 * of * of)) / (1 + z2 / of)
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


def difference(a: Share, b: Share) -> tuple[float, float]:
    """95 % interval of a.share - b.share (R. G. Newcombe, 1998, method 10: from the two Wilson intervals)."""
    gap = a.share - b.share
    return (
        gap - sqrt((a.share - a.low) ** 2 + (b.high - b.share) ** 2),
        gap + sqrt((a.high - a.share) ** 2 + (b.share - b.low) ** 2),
    )

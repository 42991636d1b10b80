"""How many images a gate needs: the fewest that would show what is asked, if shares stayed as they are."""

from collections.abc import Callable
from typing import Final

from .intervals import highest_share, p_beyond

_MOST: Final = 10_000_000


def enough_below(rate: float, limit: float, confidence: float) -> int | None:
    """The fewest images of which so small a share is shown to be at most `limit`.

    Args:
        rate: the share that is found; 0 for the best that a model can do.

    Returns:
        None where ten millions would not do.
    """
    return _fewest(lambda images: highest_share(rate * images, images, confidence) <= limit)


def enough_beside_floor(rate: float, floor: int, floor_of: int, margin: float, confidence: float) -> int | None:
    """The fewest generated images of which so large a share is shown to be less than `margin` above the floor.

    Args:
        rate: as in `enough_below`.
        floor: of `floor_of` held-out images; they stay as many.
    """
    return _fewest(lambda images: bool(p_beyond(rate * images, images, floor, floor_of, margin) < 1 - confidence))


def _fewest(shown: Callable[[int], bool]) -> int | None:
    """The least number from which on it is shown, by doubling and halving."""
    enough = 1
    while not shown(enough):
        if enough > _MOST:
            return None
        enough *= 2
    too_few = enough // 2
    while enough - too_few > 1:
        middle = (enough + too_few) // 2
        if shown(middle):
            enough = middle
        else:
            too_few = middle
    return enough

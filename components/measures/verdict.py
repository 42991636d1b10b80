"""What follows from a share beside its floor, figure by figure and for all of them."""

from collections.abc import Sequence
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

from ..config import RunConfig
from .intervals import Share, difference

DECIDES_UP_TO: Final = 0.10
"""A threshold whose floor is above this share decides nothing."""
MARGIN: Final = 0.01
"""'At or below the floor': with 95 % confidence at most this much above it."""
_FEWEST_IMAGES: Final = 100
_FEWEST_VISITS: Final = 50
Verdict = Literal["above", "at_or_below", "unclear", "undecided"]
"""`above` or `at_or_below` the floor; `unclear`: too few images to tell; `undecided`: the threshold decides nothing."""


class Memorization(BaseModel):
    """The share of images that one measure takes for near-copies of training images."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    measure: Literal["mq", "second_nearest", "extraction"]
    """`mq`: squared distance to the nearest over the mean squared distance to the k nearest;
    `second_nearest`: distance to the nearest over distance to the second nearest;
    `extraction`: training images (floor: held-out images) that the extraction attack hits, of all of them."""
    aware: bool
    """Augmentation-aware: a distance is the least over the invertible augmentations."""
    threshold: float
    """An image whose ratio is below it counts."""
    guesses: int | None = None
    """Of the extraction attack."""
    generated: Share
    floor: Share
    """The same of held-out real images."""
    difference_low: float
    difference_high: float
    """95 % interval of generated minus floor."""
    decides: bool
    """False where the floor is above 10 %: so many real images look like copies that the figure says nothing."""
    verdict: Verdict


def judged(
    measure: Literal["mq", "second_nearest", "extraction"],
    aware: bool,
    threshold: float,
    generated: Share,
    floor: Share,
    guesses: int | None = None,
) -> Memorization:
    """A figure beside its floor, with what follows from it."""
    low, high = difference(generated, floor)
    decides = floor.share <= DECIDES_UP_TO
    verdict: Verdict
    if not decides:
        verdict = "undecided"
    elif low > 0:
        verdict = "above"
    else:
        verdict = "at_or_below" if high <= MARGIN else "unclear"
    return Memorization(
        measure=measure,
        aware=aware,
        threshold=threshold,
        guesses=guesses,
        generated=generated,
        floor=floor,
        difference_low=low,
        difference_high=high,
        decides=decides,
        verdict=verdict,
    )


def cited(memorization: Sequence[Memorization]) -> Memorization:
    """The figure that speaks for all.

    It is one of the augmentation-aware ones that decide: one of them above the floor is an echo, and all must be at
    or below it for 'no echo'; the strictest threshold that says so is cited. The extraction attack has a say only
    where it is above: its sample is the training images, and where these are few it may accuse but not acquit.
    """
    aware = sorted((m for m in memorization if m.aware), key=rank)
    speaking = [m for m in aware if m.decides and (m.measure != "extraction" or m.verdict == "above")]
    for verdict in ("above", "unclear", "at_or_below"):
        for figure in speaking:
            if figure.verdict == verdict:
                return figure
    return next(m for m in aware if not m.decides)


def copy_threshold(memorization: Sequence[Memorization], aware: bool) -> float:
    """The MQ ratio below which an image is taken for a copy: the widest threshold that decides, else the strictest."""
    mq = [m for m in memorization if m.measure == "mq" and m.aware is aware]
    return max((m.threshold for m in mq if m.decides), default=min(m.threshold for m in mq))


def rank(figure: Memorization) -> tuple[int, float]:
    """The order in which figures are shown and cited: MQ first, the strictest threshold first."""
    return ("mq", "second_nearest", "extraction").index(figure.measure), figure.threshold


def smoke_reason(config: RunConfig, generated: int, held_out: int, visits: int, train_images: int) -> str | None:
    """Why a run is too small for its figures to mean anything, or None.

    Args:
        visits: samples that training saw, with repetition.
    """
    if generated < _FEWEST_IMAGES or held_out < _FEWEST_IMAGES:
        return f"only {generated} generated and {held_out} held-out images"
    if config.model.pretrained is None and visits < _FEWEST_VISITS * train_images:
        return f"each training image was seen {visits / max(1, train_images):.0f} times, too seldom to be memorized"
    return f"preset {config.preset}" if config.preset == "tiny" else None

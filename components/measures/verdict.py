"""The verdict: a test with known error rates, over few figures that the configuration chose before the run.

'It echoes' where some deciding figure is above its floor: Fisher's exact test (mid-P) on each, Holm's adjustment over
all, at 5 %. 'No echo' where every deciding figure is less than `evaluate.margin` above its floor: a test of
non-inferiority on each, at 5 %. Everything else is shown and not judged; without held-out images there is no floor,
and nothing is. What both can tell at a sample size: `power`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from ..config import RunConfig
from .intervals import Share, difference, holm, p_above, p_beyond

Measure = Literal[
    "descriptor",
    "descriptor_second",
    "descriptor_whole",
    "descriptor_template",
    "descriptor_own",
    "mq",
    "second_nearest",
    "extraction",
]
Verdict = Literal["above", "at_or_below", "unclear", "undecided"]
"""`above` the floor; `at_or_below`: less than the margin above it; `unclear`: the images are too few to tell;
`undecided`: the figure is shown and not judged, or there is no floor."""
LEVEL: Final = 0.05
"""How often, at most, a perfect model may be accused; and one that is the margin above its floor be cleared."""
_FEWEST_IMAGES: Final = 100
INFORMATIVE_UP_TO: Final = 0.10
"""A threshold below which more than this share of held-out images lies says little about copies."""


@dataclass(frozen=True)
class Kind:
    """What is particular to a measure.

    Attributes:
        name: in words; short: where there is little room.
        acquits: whether it may clear a model; the attack's sample is the training images, often few.
        sign: on which side of the threshold an image counts; empty where there is no threshold to name.
        on_descriptor: whether it is found by a copy descriptor, mirrored training images too.
    """

    name: str
    short: str
    acquits: bool = True
    sign: Literal["<", ">", ""] = "<"
    on_descriptor: bool = False

    def limit(self, threshold: float, digits: int) -> str:
        """A threshold as text; of similarities in full, since those of one's own descriptor crowd below 1."""
        return f"{threshold:g}" if self.sign == ">" else f"{threshold:.{digits}g}"


KINDS: Final[dict[Measure, Kind]] = {
    "descriptor": Kind("similarity", "similarity", sign=">", on_descriptor=True),
    "descriptor_second": Kind("nearest / second", "near/2nd", on_descriptor=True),
    "descriptor_whole": Kind("whole-image copies", "whole copies", sign="", on_descriptor=True),
    "descriptor_template": Kind("template copies", "template copies", sign="", on_descriptor=True),
    "descriptor_own": Kind("similarity to the prompt's own image", "own image", sign=">", on_descriptor=True),
    "mq": Kind("MQ", "MQ"),
    "second_nearest": Kind("nearest / second", "near/2nd"),
    "extraction": Kind("extraction, MQ", "extracted", acquits=False),
}
"""By measure, in the order in which they are shown."""


class Memorization(BaseModel):
    """The share of images that one measure takes for near-copies of training images."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    measure: Measure
    """`descriptor`: similarity to the nearest training image on a copy descriptor; `descriptor_second`: distance to the
    nearest over distance to the second nearest there; `descriptor_whole`, `descriptor_template`: images that are nearly
    all, or a part, of one of their most similar training images, block by block; `descriptor_own`: similarity to the
    training image whose caption was the prompt, which held-out images have not;
    `mq`: squared distance to the nearest over the mean squared distance to the k nearest;
    `second_nearest`: distance to the nearest over distance to the second nearest;
    `extraction`: training images (floor: held-out images) that the extraction attack hits, of all of them."""
    aware: bool
    """Augmentation-aware: the nearest distance is the least over the invertible augmentations; on a descriptor over the
    mirror image."""
    threshold: float
    """An image whose ratio is below it counts; one whose similarity is above it."""
    guesses: int | None = None
    """Of the extraction attack."""
    generated: Share
    floor: Share | None = None
    """The same of held-out real images; None without such."""
    floor_apart: Share | None = None
    """The same without held-out images that have a near duplicate in the training set, where there are such; the
    verdict goes by `floor`."""
    base: Share | None = None
    """The same of images that the base model makes of the same prompts and noise: what was not learned here. The
    verdict goes by `floor`."""
    ceiling: Share | None = None
    """The same of reconstructions of training images by a latent model's VAE: what a perfect copier would be found
    at."""
    ceiling_pixels: Share | None = None
    """The same where the training images themselves are searched, and not what the VAE makes of them."""
    difference_low: float | None = None
    difference_high: float | None = None
    """95 % interval of generated minus floor; None without one."""
    decides: bool = False
    """Chosen by evaluate.deciding; the others are shown and not judged."""
    p_above: float | None = None
    """P-value of 'not above the floor', adjusted over the deciding figures (Holm)."""
    p_beyond: float | None = None
    """P-value of 'evaluate.margin or more above the floor'."""
    verdict: Verdict = "undecided"

    @property
    def informative(self) -> bool:
        """False where the floor is above 10 %: so many real images look like copies that the figure says little."""
        return self.floor is None or self.floor.share <= INFORMATIVE_UP_TO

    @property
    def on_descriptor(self) -> bool:
        """Whether a copy descriptor finds it."""
        return KINDS[self.measure].on_descriptor

    @property
    def name(self) -> str:
        """As in evaluate.deciding and in the metrics, such as mq_aware_0.1."""
        if self.measure == "extraction" or self.on_descriptor:
            return self.measure
        name = f"{self.measure}_aware" if self.aware else self.measure
        return f"{name}_{self.threshold:g}" if self.measure == "mq" else name


def beside_floor(
    measure: Measure,
    aware: bool,
    threshold: float,
    generated: Share,
    floor: Share | None,
    guesses: int | None = None,
    floor_apart: Share | None = None,
) -> Memorization:
    """A figure beside its floor, where there is one, not yet judged."""
    low, high = difference(generated, floor) if floor else (None, None)
    return Memorization(
        measure=measure,
        aware=aware,
        threshold=threshold,
        guesses=guesses,
        generated=generated,
        floor=floor,
        floor_apart=floor_apart,
        difference_low=low,
        difference_high=high,
    )


def judged(
    figures: Sequence[Memorization], deciding: Sequence[str], margin: float, level: float = LEVEL
) -> list[Memorization]:
    """The same figures, those that decide with what follows from them: nothing for a figure without a floor.

    Args:
        deciding: names of figures, chosen before the run.
        margin: `evaluate.margin`.
        level: how often a perfect model may be accused; a share of 5 % where a run is looked at several times.
    """
    chosen = [f.model_copy(update={"decides": True}) for f in figures if f.name in deciding]
    beside = [(f, f.floor) for f in chosen if f.floor]
    adjusted = holm([float(p_above(f.generated.count, f.generated.of, floor.count, floor.of)) for f, floor in beside])
    judged = [_judged(f, floor, above, margin, level) for (f, floor), above in zip(beside, adjusted, strict=True)]
    verdicts = {figure.name: figure for figure in (*chosen, *judged)}
    return [verdicts.get(figure.name, figure) for figure in figures]


def _judged(figure: Memorization, floor: Share, above: float, margin: float, level: float) -> Memorization:
    beyond = float(p_beyond(figure.generated.count, figure.generated.of, floor.count, floor.of, margin))
    verdict: Verdict = "above" if above < level else "at_or_below" if beyond < LEVEL else "unclear"
    return figure.model_copy(update={"p_above": above, "p_beyond": beyond, "verdict": verdict})


def cited(figures: Sequence[Memorization]) -> Memorization:
    """The figure that speaks for all; its verdict is the run's.

    One deciding figure above its floor is an echo: the one that is so most surely. All that may acquit must be within
    the margin for 'no echo'; else the first that is not. One whose floor is too high to say much speaks last. Without
    a floor it is the first that would decide, undecided.
    """
    deciding = sorted((f for f in figures if f.decides), key=rank)
    if not any(f.floor for f in deciding):
        return deciding[0]
    above = [f for f in deciding if f.verdict == "above"]
    if above:
        return min(above, key=lambda f: f.p_above or 0.0)
    acquitting = sorted((f for f in deciding if KINDS[f.measure].acquits), key=lambda f: not f.informative)
    for verdict in ("unclear", "at_or_below"):
        for figure in acquitting:
            if figure.verdict == verdict:
                return figure
    return deciding[0].model_copy(update={"verdict": "unclear"})  # only figures that cannot acquit were chosen


def copy_threshold(figures: Sequence[Memorization], aware: bool) -> float:
    """The MQ ratio below which an image is taken for a copy: the widest informative threshold, else the strictest."""
    mq = [m for m in figures if m.measure == "mq" and m.aware is aware]
    return max((m.threshold for m in mq if m.informative), default=min(m.threshold for m in mq))


def rank(figure: Memorization) -> tuple[int, float]:
    """The order in which figures are shown: a descriptor's first, then MQ, the strictest threshold first."""
    return list(KINDS).index(figure.measure), figure.threshold


def smoke_reason(config: RunConfig, generated: int, held_out: int) -> str | None:
    """Why a run is too small for its figures to mean anything, or None.

    Args:
        generated, held_out: how many images; none are held out where an audit was given none.
    """
    if not held_out and generated < _FEWEST_IMAGES:
        return f"only {generated} generated images"
    if held_out and min(generated, held_out) < _FEWEST_IMAGES:
        return f"only {generated} generated and {held_out} held-out images"
    return f"preset {config.preset}" if config.preset == "tiny" else None


@dataclass(frozen=True)
class Power:
    """How often the verdict says what, over models trained anew: shares from 0 to 1.

    Attributes:
        perfect_accused, perfect_cleared: of a model whose images are as held-out ones.
        copies_accused: of one of which the share `copies` of images are copies.
    """

    copies: float
    perfect_accused: float
    perfect_cleared: float
    copies_accused: float


def power(
    generated: int, held_out: int, floor: float, copies: float, margin: float, figures: int = 2, runs: int = 4000
) -> Power:
    """What the verdict can and cannot tell, by simulation with a fixed seed.

    Figures are taken for independent of each other: of a perfect model that is the worst case of false accusation.

    Args:
        generated, held_out: how many images.
        floor: share of real images that a deciding figure takes for copies.
        copies: share of the generated images that are copies.
        figures: how many decide.
    """
    draw = np.random.default_rng(0)
    near = draw.binomial(held_out, floor, (figures, runs))
    perfect = draw.binomial(generated, floor, (figures, runs))
    echoing = draw.binomial(generated, floor + copies * (1 - floor), (figures, runs))
    accused, with_copies = (_accused(counts, generated, near, held_out) for counts in (perfect, echoing))
    within = (p_beyond(perfect, generated, near, held_out, margin) < LEVEL).all(axis=0)
    return Power(copies, float(accused.mean()), float((within & ~accused).mean()), float(with_copies.mean()))


def _accused(counts: np.ndarray, of: int, near: np.ndarray, held_out: int) -> np.ndarray:
    """Holm rejects some hypothesis exactly where the least p-value times their number is below the level."""
    least = p_above(counts, of, near, held_out).min(axis=0)
    return np.asarray(len(counts) * least < LEVEL)

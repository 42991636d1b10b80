"""What the figures allow one to say, in words that do not say more."""

from collections.abc import Sequence
from typing import Final, Literal

from unecho.components.config import RunConfig
from unecho.components.measures.intervals import Share, difference
from unecho.components.report.figures import Headline, Memorization, Quality, Verdict

DECIDES_UP_TO: Final = 0.10
"""A threshold whose floor is above this share decides nothing."""
MARGIN: Final = 0.01
"""'At or below the floor': with 95 % confidence at most this much above it."""
_FEWEST_IMAGES: Final = 100
_FEWEST_VISITS: Final = 50
_TITLES: Final[dict[Verdict, str]] = {
    "above": "It echoes",
    "at_or_below": "No echo above the floor",
    "unclear": "Not decided: too few images",
    "undecided": "Not decided: no threshold tells copies apart",
}
_MEANING: Final[dict[Verdict, str]] = {
    "above": "That is more than chance explains.",
    "at_or_below": "With 95 % confidence that is at most one percentage point above the floor.",
    "unclear": "There are too few images to tell the two apart.",
    "undecided": "Where more than 10 % of real images pass for copies, a figure decides nothing.",
}
WORDS: Final[dict[Verdict, str]] = {
    "above": "above the floor",
    "at_or_below": "at or below the floor",
    "unclear": "unclear: too few images",
    "undecided": "decides nothing",
}


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


def headline(memorization: Sequence[Memorization], quality: Quality, smoke: str | None) -> Headline:
    """The run in three sentences.

    One figure speaks for all, see `cited`.
    """
    speaker = cited(memorization)
    overall = speaker.verdict
    title = _TITLES[overall]
    if overall == "at_or_below" and quality.poor:
        title += ", but poor images"
    return Headline(
        verdict=overall,
        title="Smoke run: no verdict" if smoke else title,
        sentence=_sentence(speaker),
        quality=_quality(quality),
        smoke=smoke,
    )


def rank(figure: Memorization) -> tuple[int, float]:
    """The order in which figures are shown and cited: MQ first, the strictest threshold first."""
    return ("mq", "second_nearest", "extraction").index(figure.measure), figure.threshold


def _sentence(cited: Memorization) -> str:
    return f"{_counted(cited)}. {_MEANING[cited.verdict]}"


def _counted(cited: Memorization) -> str:
    if cited.measure == "extraction":
        return (
            f"{percent(cited.generated.share)} of the {cited.generated.of:,} training images "
            f"({interval(cited.generated)}) are hit by the {cited.guesses or 0:,} guesses that generated images give "
            f"away; of the {cited.floor.of:,} real images that were never trained on, {percent(cited.floor.share)} are "
            f"(the floor, {interval(cited.floor)})"
        )
    floor = (
        f"of the {cited.floor.of:,} real images that were never trained on, {percent(cited.floor.share)} do "
        f"(the floor, {interval(cited.floor)})"
    )
    return (
        f"{percent(cited.generated.share)} of {cited.generated.of:,} generated images ({interval(cited.generated)}) "
        f"come as close to a training image as a near-copy does ({measure_name(cited)}); {floor}"
    )


def _quality(quality: Quality) -> str:
    text = (
        f"Quality: {quality.frechet_name} {quality.frechet:.3g}, where real images have {quality.frechet_real:.3g} "
        f"(lower is better); precision {percent(quality.precision.share)} and recall {percent(quality.recall.share)}, "
        f"where real images have {percent(quality.precision_real.share)} and {percent(quality.recall_real.share)}."
    )
    if quality.poor:
        text += " Few generated images look real: what resembles nothing echoes nothing."
    return text


def measure_name(figure: Memorization) -> str:
    """The measure and its threshold, such as 'MQ < 0.1, augmentation-aware'."""
    kind = "augmentation-aware" if figure.aware else "plain"
    return f"{short_name(figure)}, {kind}"


def short_name(figure: Memorization) -> str:
    """The same without its kind."""
    name = {"mq": "MQ", "second_nearest": "nearest / second", "extraction": "extraction, MQ"}[figure.measure]
    return f"{name} < {figure.threshold:.3g}"


def percent(share: float) -> str:
    """A share as text; small ones keep a digit that says something."""
    value = 100 * share
    if value and value < 0.095:
        return f"{value:.2g} %"
    return "100 %" if share == 1 else f"{value:.1f} %"


def interval(share: Share) -> str:
    """The 95 % interval as text."""
    return f"{100 * share.low:.1f} to {percent(share.high)}"

"""What the figures allow one to say, in words that do not say more."""

from collections.abc import Sequence
from typing import Final

from ..measures.intervals import Share
from ..measures.verdict import Memorization, Verdict, cited
from .figures import Headline, Quality

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

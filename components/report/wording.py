"""What the figures allow one to say, in words that do not say more."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from ..measures.captions import CAPTIONS
from ..measures.intervals import Mean, Share
from ..measures.quality_figures import AgainstTraining, Quality
from ..measures.search_figures import Searched
from ..measures.verdict import INFORMATIVE_UP_TO, KINDS, Memorization, Verdict, cited
from .figures import Figures, Headline, Round

_TITLES: Final[dict[Verdict, str]] = {
    "above": "It echoes",
    "at_or_below": "No echo above the floor",
    "unclear": "Not decided: too few images",
    "undecided": "Not judged",
}
_NO_FLOOR: Final = "No verdict: no held-out images, so no floor"
WORDS: Final[dict[Verdict, str]] = {
    "above": "above the floor",
    "at_or_below": "at or below the floor",
    "unclear": "unclear: too few images",
    "undecided": "shown, not judged",
}


def headline(
    memorization: Sequence[Memorization],
    quality: Quality | None,
    margin: float,
    smoke: str | None,
    against_training: Sequence[AgainstTraining] = (),
) -> Headline:
    """The run in three sentences.

    One figure speaks for all, see `cited`.

    Args:
        quality: None without held-out images.
        margin: `evaluate.margin`.
        against_training: what there is in place of quality then.
    """
    speaker = cited(memorization)
    overall = speaker.verdict
    title = _TITLES[overall] if speaker.floor else _NO_FLOOR
    if overall == "at_or_below" and quality and quality.poor:
        title += ", but poor images"
    return Headline(
        verdict=overall,
        title="Smoke run: no verdict" if smoke and speaker.floor else title,
        sentence=" ".join([f"{_counted(speaker)}.", _meaning(speaker, margin), *_blind(memorization)]),
        quality=_quality(quality) if quality else _no_quality(against_training),
        smoke=smoke,
    )


def _meaning(cited: Memorization, margin: float) -> str:
    if cited.difference_low is None or cited.difference_high is None:
        return (
            "Chance alone brings some real images as close; how many of them here is not known, so the share says "
            "nothing yet about the model. Give real images of the same kind that it was not trained on, by "
            "unecho audit --held-out SOURCE, and it is judged beside theirs."
        )
    beyond = f"{100 * margin:g} percentage points"
    if cited.verdict == "above":
        return "That is more than chance explains: a model without copies would be accused in at most 5 % of runs."
    if cited.verdict == "at_or_below":
        return f"With 95 % confidence that is less than {beyond} above the floor, as for every figure that decides."
    low, high = (f"{100 * bound:.1f}" for bound in (cited.difference_low, cited.difference_high))
    return f"The difference is between {low} and {high} points: too few images to tell it from 0 or from {beyond}."


def _blind(memorization: Sequence[Memorization]) -> list[str]:
    """That figures which decide have so high a floor that they could hardly have found copies."""
    return [
        f"A figure that decides ({measure_name(figure)}) says little here: its floor is {percent(figure.floor.share)}, "
        f"above {100 * INFORMATIVE_UP_TO:g} %."
        for figure in memorization
        if figure.decides and figure.floor and not figure.informative
    ]


def _counted(cited: Memorization) -> str:
    generated, floor = f"{percent(cited.generated.share)} of", cited.floor
    if cited.measure == "extraction":
        training = f"{generated} the {cited.generated.of:,} training images ({interval(cited.generated)})"
        guesses = f"{cited.guesses or 0:,} guesses"
        if floor is None:
            return f"{training} are hit by the {guesses} that the extraction attack makes ({measure_name(cited)})"
        return f"{training} are hit by the {guesses} that generated images give away; {_beside(floor, 'are')}"
    images = f"{generated} {cited.generated.of:,} generated images ({interval(cited.generated)})"
    if floor is None:
        return f"{images} come closer to a training image than the threshold ({measure_name(cited)})"
    near = f"come as close to a training image as a near-copy does ({measure_name(cited)})"
    return f"{images} {near}; {_beside(floor, 'do')}"


def _beside(floor: Share, verb: str) -> str:
    return (
        f"of the {floor.of:,} real images that were never trained on, {percent(floor.share)} {verb} "
        f"(the floor, {interval(floor)})"
    )


def _quality(quality: Quality) -> str:
    on = f" ({images_of(quality)})" if quality.captions else ""
    text = (
        f"Quality{on}: {quality.frechet_name} {quality.frechet:.3g}, where real images have {quality.frechet_real:.3g} "
        f"(lower is better); precision {percent(quality.precision.share)} and recall {percent(quality.recall.share)}, "
        f"where real images have {percent(quality.precision_real.share)} and {percent(quality.recall_real.share)}."
    )
    if quality.poor:
        text += " Few generated images look real: what resembles nothing echoes nothing."
    return text


def _no_quality(against_training: Sequence[AgainstTraining]) -> str:
    distances = [f"{against.label} {against.distance:.3g}" for against in against_training]
    without = "Quality has no reference without held-out images."
    return f"{without} {'; '.join(distances)}: copies make it less." if distances else without


def images_of(quality: Quality) -> str:
    """What quality was measured on, such as 'images of held-out captions'."""
    return f"images of {CAPTIONS[quality.captions]}" if quality.captions else "generated images"


def ceiling_sentence(figure: Memorization) -> str | None:
    """What a latent model that copies perfectly would be found at; None where it is not known.

    Args:
        figure: that speaks for the run.
    """
    ceiling, pixels = figure.ceiling, figure.ceiling_pixels
    if ceiling is None:
        return None
    of = (
        f"Of {ceiling.of:,} training images as the model's VAE gives them back, which is the best copy that it can make"
    )
    found = f"{of}, this measure finds {percent(ceiling.share)} ({measure_name(figure)})"
    if pixels is None:
        return f"{found}."
    return (
        f"{found}; among the training images alone it would find {percent(pixels.share)}, so copies are sought among "
        "such reconstructions too. Read the share of near-copies against this one, and not against 100 %."
    )


def floor_choice(figures: Figures) -> str | None:
    """That the floor was measured on some of the held-out images alone; None where it was on all of them."""
    used, there = figures.floor_images, figures.provenance.held_out_images
    if not 0 < used < there:
        return None
    return f"The floor is that of {used:,} of the {there:,} held-out images, a fixed choice (evaluate.floor_limit)."


def search_sentence(searched: Searched) -> str:
    """How near-copies were sought among candidates, and what that may have missed."""
    nearest, others = searched.nearest, searched.neighbours
    return (
        f"Each of {searched.images:,} images was sought among the {searched.candidates:,} training images most like it "
        "when scaled down, and among all of them where these left open what counts "
        f"({searched.in_full:,} images): counts are those of a search in full (evaluate.search). Of {nearest.of:,} "
        f"images that were searched in full for comparison the nearest training image was found in "
        f"{percent(nearest.share)} ({interval(nearest)}), and {percent(others.share)} of the nearest that MQ averages. "
        "Histograms, ratios and the pairs shown are those of the candidates."
    )


def measure_name(figure: Memorization) -> str:
    """The measure and its threshold, such as 'MQ < 0.1, augmentation-aware'."""
    kind = "augmentation-aware" if figure.aware else "plain"
    return f"{short_name(figure)}, {'on the descriptor' if figure.on_descriptor else kind}"


def short_name(figure: Memorization) -> str:
    """The same without its kind."""
    kind = KINDS[figure.measure]
    return f"{kind.name} {kind.sign} {kind.limit(figure.threshold, 3)}" if kind.sign else kind.name


_LARGE: Final = 64
"""Pixels of height and width from which on crops and colours are what copies differ in."""


def pixels_alone(config: Mapping[str, Any], resolution: int | None) -> str | None:
    """That copies were, or are to be, sought on pixels alone where these are not enough; None where they do.

    Args:
        resolution: of the images; None where it is not known.
    """
    latents = config["model"].get("family", "pixels") == "latents"
    if config["evaluate"].get("descriptor") is not None or not (latents or (resolution or 0) >= _LARGE):
        return None
    return "no copy descriptor (evaluate.descriptor): pixels alone miss copies that are cropped or have other colours"


_PROMPTS: Final = {
    "training": "captions of the training images",
    "held_out": "captions of the held-out images",
    "file": "the prompts of a file",
}


def asked_for(config: Mapping[str, Any]) -> str | None:
    """What a text-to-image model was asked for; None for a model that takes no prompts."""
    if config["model"].get("family", "pixels") != "latents":
        return None
    sample = config["sample"]
    return f"{_PROMPTS[sample['prompts']]}, guidance {sample['guidance_scale']:g}"


def sampled_by(config: Mapping[str, Any]) -> str | None:
    """The sampler that the figures are about; None where images are audited that were generated elsewhere."""
    audit, sample = config.get("audit") or {}, config["sample"]
    if audit.get("images"):
        return None
    own = "the model's own" if audit.get("model") else "the base model's own"
    sampler = f"{own if sample['sampler'] == 'base' else sample['sampler'].upper()}, {sample['steps']:,} steps"
    if audit.get("model"):  # its folder has one set of weights
        return sampler
    return f"{sampler}, {'EMA' if sample['weights'] == 'ema' else 'raw'} weights"


def what_trained(config: Mapping[str, Any], rounds: Sequence[Round]) -> str | None:
    """What of a text-to-image model was trained, and how exact its averages are; None for another model."""
    if config["model"].get("family", "pixels") != "latents":
        return None
    lora = config["lora"]
    if not lora["enabled"]:
        return "the whole UNet"
    of = f"adapters (LoRA) of rank {lora['rank']} in {', '.join(lora['target_modules'])}"
    errors = [r.average_error for r in rounds if r.average_error is not None]
    if not errors:
        return f"{of}; their A is frozen, so averages are exact"
    return f"{of}; averages leave out at most {percent(max(errors))} of the mean product (its norm), in any round"


def percent(share: float) -> str:
    """A share as text; small ones keep a digit that says something."""
    value = 100 * share
    if value and value < 0.095:
        return f"{value:.2g} %"
    return "100 %" if share == 1 else f"{value:.1f} %"


def cosine(mean: Mean, sign: bool = False) -> str:
    """The mean of cosines, or of ratios, as text."""
    return f"{mean.mean:+z.3f}" if sign else f"{mean.mean:z.3f}"


def interval(of: Share | Mean) -> str:
    """The 95 % interval as text."""
    if isinstance(of, Mean):
        return f"{of.low:z.3f} to {of.high:z.3f}"
    return f"{100 * of.low:.1f} to {percent(of.high)}"

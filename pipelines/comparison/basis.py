"""What a figure rests on besides the generated images: figures that rest on different things do not compare.

Each function gives what one kind of figure rests on, in words, by a name in words.
"""

from collections.abc import Mapping
from typing import Any

from ...components.measures.alignment_figures import Aligned, Alignment, Drift
from ...components.measures.captions import CAPTIONS
from ...components.measures.quality_figures import AgainstTraining, Quality
from ...components.measures.verdict import Memorization
from ...components.report.figures import Figures

Basis = Mapping[str, str]


def of_memorization(figures: Figures, figure: Memorization) -> Basis:
    """A share of near-copies."""
    basis = _training(figures)
    if figure.aware or figure.on_descriptor:
        basis |= _reconstructions(figure)
    if figure.on_descriptor:
        return basis | _descriptor(figures)
    if figure.measure != "second_nearest":
        basis["evaluate.neighbours"] = str(figures.neighbours)
    if figure.aware:
        basis["ways to mirror and shift"] = str(figures.transforms)
        basis["version of the report"] = str(figures.version)  # an aware ratio of version 1 had another yardstick
    if figure.measure == "extraction":
        basis["generated images"] = f"{figures.provenance.generated_images:,}"
        for field in ("extraction_alike", "extraction_repeats"):
            basis[f"evaluate.{field}"] = str(_evaluate(figures).get(field, "not told"))
    return basis


def of_floor(figures: Figures, figure: Memorization) -> Basis:
    """The same share of held-out images; a latent model's VAE gives these back, for plain figures too."""
    floor = {"images of the floor": f"{figures.floor_images:,}"}
    return {**of_memorization(figures, figure), **_held_out(figures), **floor, **_reconstructions(figure)}


def of_verdict(figures: Figures, figure: Memorization) -> Basis:
    """What follows from both."""
    deciding = sorted(m.name for m in figures.memorization if m.decides)
    return {
        **of_floor(figures, figure),
        "evaluate.margin": str(_evaluate(figures).get("margin", "not told")),
        "evaluate.deciding": ", ".join(deciding),
        "version of the report": str(figures.version),
    }


def of_frechet(figures: Figures, quality: Quality) -> Basis:
    """The distance to the held-out images, of so many: it depends on how many."""
    sizes = f"{quality.images:,} beside {quality.reference:,}"
    return {**of_kernel(figures, quality), f"images of the Frechet distance on {quality.features}": sizes}


def of_frechet_of_all(figures: Figures, quality: Quality) -> Basis:
    """The same of all generated images."""
    return {**of_frechet(figures, quality), **_generated(figures)}


def of_kernel(figures: Figures, quality: Quality) -> Basis:
    """The kernel distance to the held-out images, which does not depend on how many there are."""
    named = _features(quality.features, quality.digest)
    return {**_training(figures), **_held_out(figures), **named, **_asked_for(figures, quality)}


def of_manifolds(figures: Figures, quality: Quality) -> Basis:
    """Precision and recall."""
    sizes = f"{quality.manifold:,}, k = {quality.neighbours}"
    return {**of_kernel(figures, quality), f"images of precision and recall on {quality.features}": sizes}


def of_distance_to_training(figures: Figures, against: AgainstTraining) -> Basis:
    """The distance of all generated images to all training images."""
    return {**_training(figures), **_features(against.features, against.digest), **_generated(figures)}


def of_alignment(figures: Figures, aligned: Aligned) -> Basis:
    """How well images of one kind of prompts fit them: the prompts of a file are not known here, its address is."""
    fields = {"file": "prompts_file", "general": "general_prompts"}
    prompts = figures.config["sample"].get(fields.get(aligned.captions, ""), None)
    return {
        **(_training(figures) if prompts is None else {"file of prompts": str(prompts)}),
        **_text_image_model(figures),
    }


def of_alignment_of_base(figures: Figures, aligned: Aligned) -> Basis:
    """The same of the base model."""
    return {**of_alignment(figures, aligned), **_base(figures)}


def of_alignment_of_real(figures: Figures, alignment: Alignment) -> Basis:
    """The same of held-out images and their own captions."""
    return {**_training(figures), **_held_out(figures), **_text_image_model(figures)}


def of_drift(figures: Figures, drift: Drift) -> Basis:
    """How far images of general prompts are from the base model's."""
    prompts = str(figures.config["sample"].get("general_prompts"))
    return {**_base(figures), **_features(drift.features, drift.digest), "file of prompts": prompts}


def _training(figures: Figures) -> dict[str, str]:
    return {"data set": figures.provenance.dataset[:12]}


def _held_out(figures: Figures) -> Basis:
    own = (figures.config.get("audit") or {}).get("held_out")
    return {"held-out images": f"{figures.provenance.held_out_images:,} of {own or 'the data set'}"}


def _reconstructions(figure: Memorization) -> Basis:
    """Whether the VAE's reconstructions are what is compared with: then there is a ceiling."""
    return {"reconstructions": "compared with"} if figure.ceiling else {}


def _generated(figures: Figures) -> Basis:
    return {"generated images": f"{figures.provenance.generated_images:,}"}


def _descriptor(figures: Figures) -> dict[str, str]:
    if (found := figures.descriptor) is None:
        return {}
    numbers = [f"{value:g}" for value in (*found.mean, *found.std)]
    transform = ", ".join([found.transform, *([str(found.size)] if found.size else []), *numbers])
    return {"file of the copy descriptor": found.digest[:12], "evaluate.descriptor_transform": transform}


def _base(figures: Figures) -> Basis:
    return {"base model": (figures.provenance.base_sha256 or "not told")[:12]}


def _text_image_model(figures: Figures) -> Basis:
    return {"file of the text-image model": figures.alignment.digest[:12]} if figures.alignment else {}


def _asked_for(figures: Figures, quality: Quality) -> Basis:
    """Older reports are of what the run's own images were asked for."""
    config = figures.config
    if config["model"].get("family", "pixels") != "latents" or (config.get("audit") or {}).get("images"):
        return {}
    return {"images of quality": CAPTIONS[quality.captions or config["sample"].get("prompts", "training")]}


def _features(name: str, digest: str | None) -> Basis:
    return {f"file of the features {name}": digest[:12]} if digest else {}


def _evaluate(figures: Figures) -> dict[str, Any]:
    found: dict[str, Any] = figures.config.get("evaluate", {})
    return found

"""How well images fit their prompts, and how far they drifted from the base model's, as reports keep them."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from .intervals import Mean

Captions = Literal["training", "held_out", "file", "general"]
"""What images were asked for: captions of training or held-out images, prompts of a file, general prompts."""


class _Kept(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Aligned(_Kept):
    """A set of generated images: the mean cosine of an image and its prompt."""

    captions: Captions
    generated: Mean
    base: Mean | None = None
    """Of the base model's images of the same prompts, from the same noise."""
    beyond_base: Mean | None = None
    """By how much the model's images fit better, the mean over pairs."""


class Alignment(_Kept):
    """How well images fit their prompts, by one model of images and texts."""

    model: str
    """Its folder's name."""
    digest: str
    """SHA-256 of its files."""
    sets: list[Aligned]
    """The first is what quality is measured on."""
    real: Mean | None = None
    """Of held-out images with their own captions; None where they have none."""
    unrelated: Mean | None = None
    """Of the same images with each other's captions: where zero lies."""

    def metrics(self) -> dict[str, float]:
        """The means by name."""
        first = self.sets[0]
        metrics = {"alignment": first.generated.mean}
        if self.real:
            metrics["alignment_real"] = self.real.mean
        if self.unrelated:
            metrics["alignment_unrelated"] = self.unrelated.mean
        for number, one in enumerate(self.sets):
            name = "_general" if one.captions == "general" else ""
            if number and not name:
                metrics["alignment_own"] = one.generated.mean
            if name:
                metrics["alignment_general"] = one.generated.mean
            if one.base:
                metrics[f"alignment{name}_base"] = one.base.mean
        return metrics

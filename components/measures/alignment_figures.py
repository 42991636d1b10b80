"""How well images fit their prompts, and how far they drifted from the base model's, as reports keep them."""

from pydantic import BaseModel, ConfigDict

from .captions import Captions
from .intervals import Mean


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
        metrics = {"alignment": self.sets[0].generated.mean}
        if self.real:
            metrics["alignment_real"] = self.real.mean
        if self.unrelated:
            metrics["alignment_unrelated"] = self.unrelated.mean
        for name, one in self.named():
            metrics[name] = one.generated.mean
            if one.base:
                metrics[f"{name.removesuffix('_own')}_base"] = one.base.mean
        return metrics

    def named(self) -> list[tuple[str, Aligned]]:
        """Each set with the name of its mean among the metrics."""
        first, *others = self.sets
        return [
            ("alignment", first),
            *(("alignment_general" if one.captions == "general" else "alignment_own", one) for one in others),
        ]


class Drift(_Kept):
    """How far images of general prompts are from those that the base model makes of them, from the same noise."""

    features: str
    digest: str | None = None
    """SHA-256 of the feature extractor's file."""
    frechet_name: str
    frechet: float
    """Between the two sets."""
    pairs: Mean
    """Mean distance of an image and its counterpart over that of unrelated ones: 0 the same images, 1 unrelated."""

    @property
    def metric(self) -> str:
        """The name of `pairs` among the metrics."""
        return f"drift_{self.features}"

    def metrics(self) -> dict[str, float]:
        """Both figures by name."""
        return {self.metric: self.pairs.mean, f"{self.metric}_frechet": self.frechet}

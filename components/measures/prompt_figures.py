"""What is measured of prompts, as reports keep it."""

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from .ranking import Estimate

PromptMeasureName = Literal["magnitude", "anisotropy", "both"]
NAMES: Final[dict[PromptMeasureName, str]] = {
    "magnitude": "text-conditional noise",
    "anisotropy": "anisotropy",
    "both": "both together",
}


class _Figures(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Spread(_Figures):
    """Where the values of prompts of one kind lie."""

    median: float
    high: float
    """95th percentile."""


class PromptMeasure(_Figures):
    """One measure: training captions beside captions of held-out images, and beside general prompts."""

    name: PromptMeasureName
    training: Spread
    held_out: Spread | None = None
    general: Spread | None = None
    auc: Estimate | None = None
    """How often a training caption is above a held-out one; None without held-out captions."""
    detected: Estimate | None = None
    """Share of the training captions above a threshold that at most 1 % of the held-out ones are above; None where
    fewer than 100 of them cannot resolve that."""
    agreement: float | None = None
    """Mean Spearman correlation between any two seeds; None for one seed."""


class WorstPrompt(_Figures):
    """A training caption of the highest magnitude."""

    text: str
    row: int
    """Of its image in the data set."""
    magnitude: float
    tokens: list[tuple[str, float]]
    """Each token, and its share of the gradients' norms."""
    images: list[int] = Field(default_factory=list)
    """Generated images that were asked for by it."""


class PromptFigures(_Figures):
    """Prompts of a text-to-image model."""

    unmeasured: str | None = None
    """Why there are no figures; None where there are."""
    training: int = 0
    held_out: int = 0
    general: int = 0
    """Prompts of each kind."""
    on_both_sides: int = 0
    """Captions that training and held-out images both have: left out."""
    seeds: int = 0
    measures: list[PromptMeasure] = Field(default_factory=list)
    base: list[PromptMeasure] = Field(default_factory=list)
    """The same of the base model on the same prompts and noise; empty where the model is no fine-tune of this run."""
    worst: list[WorstPrompt] = Field(default_factory=list)
    """Empty unless report.images is all."""

    def metrics(self) -> dict[str, float]:
        """By name, as a UI has them."""
        found: dict[str, float] = {}
        for suffix, measures in (("", self.measures), ("_base", self.base)):
            for of in measures:
                if of.auc:
                    found[f"prompt_{of.name}_auc{suffix}"] = of.auc.value
                if of.detected:
                    found[f"prompt_{of.name}_tpr{suffix}"] = of.detected.value
        return found

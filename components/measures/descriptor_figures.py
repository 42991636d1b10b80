"""The figures of a copy descriptor, as a report keeps them."""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from .intervals import Share

_RESAMPLES: Final = 1000
_HIGH: Final = 95


class _Figures(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Similarities(_Figures):
    """The largest similarity of each image to a training image."""

    images: int
    median: float
    high: float
    """95th percentile, the score that papers publish."""
    high_low: float
    high_high: float
    """Its 95 % interval: percentile bootstrap over the images."""
    above: Share
    """Images above the threshold."""


class DescriptorFigures(_Figures):
    """What a copy descriptor finds, and with what it was found."""

    file: str
    """The file's name without its ending."""
    digest: str
    """SHA-256 of the file."""
    transform: str
    """As in evaluate.descriptor_transform; the numbers are what it was here."""
    size: int | None
    """Height and width of what enters; None for the images' own."""
    mean: list[float]
    std: list[float]
    threshold: float
    generated: Similarities
    held_out: Similarities | None = None
    """None without held-out images."""
    base: Similarities | None = None
    """Of the base model's images of the same prompts; None where there are none."""
    own: Similarities | None = None
    """The similarity to the prompt's own image in place of the largest; None without such."""
    own_base: Similarities | None = None
    """The same of the base model's images."""

    def metrics(self) -> dict[str, float]:
        """The 95th percentiles by name."""
        beside = {"": self.generated, "_floor": self.held_out, "_base": self.base}
        return {f"similarity_95{kind}": found.high for kind, found in beside.items() if found}


def similarities_of(largest: NDArray[np.float32], threshold: float) -> Similarities | None:
    """
    Args:
        largest: of each image, NaN for one that has none.

    Returns:
        None where no image has one.
    """
    found = largest[~np.isnan(largest)].astype(np.float64)
    if not len(found):
        return None
    draw = np.random.default_rng(0)
    highs = [np.percentile(found[draw.integers(0, len(found), len(found))], _HIGH) for _ in range(_RESAMPLES)]
    low, high = np.percentile(highs, (2.5, 97.5))
    return Similarities(
        images=len(found),
        median=float(np.median(found)),
        high=float(np.percentile(found, _HIGH)),
        high_low=float(low),
        high_high=float(high),
        above=Share.counted(int((found > threshold).sum()), len(found)),
    )

"""Sets of images that stand beside the generated ones: measured as these are, and judged by nothing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..measures.images import Images
from ..measures.intervals import Share
from ..measures.memorization import Closeness


@dataclass(frozen=True)
class Beside:
    """The sets; None where a run has no such.

    Attributes:
        base: of the base model, on the prompts and the noise of the first generated images.
        ceiling: reconstructions of training images, as a model that copies perfectly would generate them.
    """

    base: Images | None = None
    ceiling: Images | None = None


@dataclass(frozen=True)
class BesideCloseness:
    """How close they come to the training images, plain and then augmentation-aware.

    Attributes:
        ceiling_pixels: of the ceiling to the training images themselves, without further views.
    """

    base: Sequence[Closeness] | None = None
    ceiling: Sequence[Closeness] | None = None
    ceiling_pixels: Sequence[Closeness] | None = None

    def shares(self, stage: int, of: Callable[[Closeness], Share]) -> dict[str, Share]:
        """A figure's fields of `Memorization`, for the sets that there are."""
        sets = {"base": self.base, "ceiling": self.ceiling, "ceiling_pixels": self.ceiling_pixels}
        return {name: of(measured[stage]) for name, measured in sets.items() if measured is not None}

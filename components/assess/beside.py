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
    """

    base: Images | None = None


@dataclass(frozen=True)
class BesideCloseness:
    """How close they come to the training images, plain and then augmentation-aware."""

    base: Sequence[Closeness] | None = None

    def shares(self, stage: int, of: Callable[[Closeness], Share]) -> dict[str, Share]:
        """A figure's fields of `Memorization`, for the sets that there are."""
        return {} if self.base is None else {"base": of(self.base[stage])}

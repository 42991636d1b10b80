"""Quality on one kind of features, and what stands in its place, as reports keep them."""

from pydantic import BaseModel, ConfigDict

from .captions import Captions
from .intervals import Share


class Quality(BaseModel):
    """Generated images against held-out real ones; beside them training images against the same."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    features: str
    digest: str | None = None
    """SHA-256 of the feature extractor's file."""
    captions: Captions | None = None
    """What the images were asked for; None of a model without prompts, and in older reports, where it is what the run's
    own images were asked for."""
    frechet_name: str
    """FID only with Inception features."""
    frechet: float
    """The mean over disjoint sets of `images` generated images."""
    frechet_all: float | None = None
    """Of all sets together: below `frechet_real` where the model has more to give than its training images."""
    frechet_real: float
    frechet_training: float | None = None
    """All of the run's own images against all training images: what papers publish. It rewards copying."""
    kernel_name: str = ""
    """KID only with Inception features."""
    kernel: float | None = None
    """Unbiased squared MMD to the held-out images, the mean over subsets; beside it that of training images."""
    kernel_std: float | None = None
    """Over the subsets."""
    kernel_real: float | None = None
    kernel_real_std: float | None = None
    kernel_subsets: int = 0
    kernel_subset_size: int = 0
    """Images of each set in a subset, of generated ones."""
    images: int
    """Images of such a set, and training images beside it, in the Frechet distance."""
    sets: int = 1
    """How many sets."""
    reference: int
    """Held-out images in the Frechet distance."""
    neighbours: int
    """k of the manifolds of precision and recall."""
    manifold: int
    """Images of each set in precision and recall."""
    precision: Share
    precision_real: Share
    recall: Share
    recall_real: Share
    poor: bool
    """Precision below half of that of real images."""

    @property
    def frechet_metric(self) -> str:
        """The Frechet distance's name among the metrics."""
        return _metric(self.frechet_name, self.features)

    @property
    def kernel_metric(self) -> str:
        """The kernel distance's name among the metrics."""
        return "kid" if self.kernel_name == "KID" else f"kernel_{self.features}"

    @property
    def frechet_training_name(self) -> str:
        return _against_training(self.frechet_name)


class AgainstTraining(BaseModel):
    """Generated images against the training images: all that there is without held-out ones to be the reference."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    features: str
    digest: str | None = None
    """SHA-256 of the feature extractor's file."""
    name: str
    """Of the distance: FID only with Inception features."""
    distance: float
    """The Frechet distance that papers publish. It rewards copying."""
    images: int
    """Generated images."""

    @property
    def label(self) -> str:
        return _against_training(self.name)

    @property
    def metric(self) -> str:
        """Its name among the metrics, the same as beside held-out images."""
        return f"{_metric(self.name, self.features)}_training"


def _against_training(name: str) -> str:
    """It is never to be taken for the distance to the held-out images."""
    return f"{name} against the training set (published protocol)"


def _metric(name: str, features: str) -> str:
    return "fid" if name == "FID" else f"frechet_{features}"

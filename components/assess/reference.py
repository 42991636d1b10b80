"""What generated images are compared with."""

from dataclasses import dataclass

import numpy as np

from ..data import Dataset
from ..measures.images import Images, Rows


@dataclass(frozen=True)
class Reference:
    """Real images of one shape.

    Attributes:
        dataset: that the training images are of.
        training: that the model was trained on.
        held_out: that it was not: the floor, and the quality reference.
        views: further views of the training images, among which copies are sought too: their reconstructions by a
            latent model's VAE.
        given_back: the held-out images as such a VAE gives them back; None where there is none.
    """

    dataset: Dataset
    training: Rows
    held_out: Images
    views: tuple[Images, ...] = ()
    given_back: Images | None = None

    @property
    def floor(self) -> Images:
        """What the floor is measured on: the held-out images, as the model would make them if it made just these."""
        return self.held_out if self.given_back is None else self.given_back


def reference_of(dataset: Dataset, apart: Dataset | None = None) -> Reference:
    """Both sides of a data set's split.

    Args:
        apart: one whose images are all held out, in place of those that the split has held out.
    """
    held_out = Rows(dataset, dataset.held_out_rows) if apart is None else all_of(apart)
    return Reference(dataset, Rows(dataset, dataset.train_rows), held_out)


def all_of(dataset: Dataset) -> Rows:
    """Every image of a data set, in order."""
    return Rows(dataset, np.arange(dataset.count, dtype=np.int64))

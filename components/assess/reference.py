"""What generated images are compared with."""

from dataclasses import dataclass

import numpy as np

from ..config import RunConfig
from ..config.counts import floor_count
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
        given_back: the chosen images as such a VAE gives them back; None where there is none.
        chosen: those of the held-out images that the floor is measured on; None for all.
    """

    dataset: Dataset
    training: Rows
    held_out: Images
    views: tuple[Images, ...] = ()
    given_back: Images | None = None
    chosen: Images | None = None

    @property
    def floor_images(self) -> Images:
        """The held-out images that the floor is measured on, as they are."""
        return self.held_out if self.chosen is None else self.chosen

    @property
    def floor(self) -> Images:
        """What the floor is measured on: held-out images, as the model would make them if it made just these."""
        return self.floor_images if self.given_back is None else self.given_back


def reference_of(dataset: Dataset, apart: Dataset | None = None, config: RunConfig | None = None) -> Reference:
    """Both sides of a data set's split.

    Args:
        apart: one whose images are all held out, in place of those that the split has held out.
        config: whose `evaluate.floor_limit` chooses among the held-out images; None for all of them.
    """
    held_out = Rows(dataset, dataset.held_out_rows) if apart is None else all_of(apart)
    count = floor_count(config, len(held_out)) if config else len(held_out)
    chosen = _by_content(held_out, count) if count < len(held_out) else None
    return Reference(dataset, Rows(dataset, dataset.train_rows), held_out, chosen=chosen)


def _by_content(images: Rows, count: int) -> Rows:
    """So many images, those of the least digests of their pixels, in order: the same ones in every run on the data."""
    digests = images.dataset.row_digest[images.rows]
    return Rows(images.dataset, np.sort(images.rows[np.argsort(digests, kind="stable")[:count]]))


def all_of(dataset: Dataset) -> Rows:
    """Every image of a data set, in order."""
    return Rows(dataset, np.arange(dataset.count, dtype=np.int64))

"""What generated images are compared with."""

from dataclasses import dataclass

from ..data import Dataset
from ..measures.images import Images, Rows


@dataclass(frozen=True)
class Reference:
    """Real images of one shape.

    Attributes:
        dataset: that the training images are of.
        training: that the model was trained on.
        held_out: that it was not: the floor, and the quality reference.
    """

    dataset: Dataset
    training: Rows
    held_out: Images


def reference_of(dataset: Dataset) -> Reference:
    """Both sides of a data set's split."""
    return Reference(dataset, Rows(dataset, dataset.train_rows), Rows(dataset, dataset.held_out_rows))

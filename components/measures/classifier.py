"""A small classifier of the data's own labels: its features tell images of that kind apart better than pixels do."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ..data import Dataset
from ..failure import Fatal
from .quality import spread

FEATURES = 64
_WIDTHS = (16, 32, 64)
_BATCH = 128
_SEED = 0
_LARGEST = 64
"""Pixels of height and width; larger images are averaged down to at most so many."""
_MOST_BYTES = 1 << 30
"""Training images in memory; of larger data sets evenly spaced ones are taken."""
_LEARNING_RATE = 2e-3


class Classifier(nn.Module):
    """Three convolutions, means over the quarters of what is left of the picture, a hidden layer.

    The features are the hidden layer's values, scaled to mean 0 and variance 1 over the training images.
    """

    def __init__(self, channels: int, resolution: int, classes: int) -> None:
        super().__init__()
        shrink = -(-resolution // _LARGEST)
        layers: list[nn.Module] = [nn.AvgPool2d(shrink)] if shrink > 1 else []
        for number, (before, width) in enumerate(zip((channels, *_WIDTHS), _WIDTHS, strict=False)):
            layers += [nn.Conv2d(before, width, 3, stride=1 + (number > 0), padding=1), nn.ReLU()]
        self.features = nn.Sequential(
            *layers,
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(4 * _WIDTHS[-1], FEATURES),
            nn.ReLU(),
            nn.BatchNorm1d(FEATURES, affine=False),
        )
        self.scores = nn.Linear(FEATURES, classes)

    def forward(self, images: Tensor) -> Tensor:
        """float32 [n, C, H, W] in [0, 1] to scores, float32 [n, classes]."""
        scores: Tensor = self.scores(self.features(images))
        return scores


def has_classes(dataset: Dataset) -> bool:
    """Whether the training images have labels of at least two classes."""
    labels = dataset.labels[dataset.train_rows]
    return len(np.unique(labels[labels >= 0])) > 1


def train_classifier(
    dataset: Dataset, steps: int, on_progress: Callable[[int, int], None] = lambda done, total: None
) -> tuple[Classifier, float]:
    """Train on the data set's training split, with one-pixel shifts against overfitting; the seed is fixed.

    Args:
        steps: optimizer steps (AdamW, cosine learning rate) of 128 images.
        on_progress: called with steps done and steps in all.

    Returns:
        The classifier, and the share of held-out images that it gets right.

    Raises:
        Fatal: the images carry no labels, or all the same one.
    """
    if not has_classes(dataset):
        raise Fatal("classifier: the training images do not have labels of at least 2 classes: nothing to tell apart")
    rows = dataset.train_rows[dataset.labels[dataset.train_rows] >= 0]
    most = max(_BATCH, _MOST_BYTES // (dataset.channels * dataset.resolution**2))
    rows = rows[spread(len(rows), min(len(rows), most))]
    images = torch.from_numpy(dataset.rows(rows))
    labels = torch.from_numpy(dataset.labels[rows].astype(np.int64))
    generator = torch.Generator().manual_seed(_SEED)
    with torch.random.fork_rng():
        torch.manual_seed(_SEED)
        network = Classifier(dataset.channels, dataset.resolution, len(dataset.label_names))
    optimizer = torch.optim.AdamW(network.parameters(), lr=_LEARNING_RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in range(steps):
        some = torch.randint(len(images), (_BATCH,), generator=generator)
        down, right = torch.randint(3, (2,), generator=generator).tolist()
        height, width = images.shape[2:]
        shifted = F.pad(images[some].float() / 255, (1, 1, 1, 1), "replicate")
        scores = network(shifted[:, :, down : down + height, right : right + width])
        torch.autograd.backward(F.cross_entropy(scores, labels[some]))
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        on_progress(step + 1, steps)
    return network.eval(), _right(network, dataset)


def _right(network: Classifier, dataset: Dataset) -> float:
    rows = dataset.held_out_rows[dataset.labels[dataset.held_out_rows] >= 0]
    right = 0
    for first in range(0, len(rows), 1024):
        some = rows[first : first + 1024]
        with torch.inference_mode():
            guess = network(_values(dataset.rows(some))).argmax(dim=1).numpy()
        right += int((guess == dataset.labels[some]).sum())
    return right / max(1, len(rows))


def _values(images: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(images).float() / 255

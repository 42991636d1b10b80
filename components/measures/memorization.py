"""Measures of memorization: how close each image comes to a training image."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ..config.fields import Evaluate
from .images import Images, Several
from .neighbours import Neighbours, nearest
from .transforms import Transform


@dataclass(frozen=True)
class Closeness:
    """How close each of M images is to the training set.

    Attributes:
        nearest, second: positions of the nearest two training images, int64 [M].
        mq: squared L2 distance to the nearest over the mean of the plain squared distances to the k nearest,
            the nearest included (MQ of arXiv 2407.15328): 0 for an exact copy, at most 1. float64 [M].
        second_ratio: distance to the nearest over the plain distance to the nearest other image, not squared, at
            most 1. float64 [M].

    Augmentation-aware, only the numerator is the least over augmentations: a yardstick that shrank with what it
    measures would miss noisy copies that the plain ratio finds. So an aware ratio is never above the plain one, nor is
    one that goes by more views of the training images above one that goes by fewer.
    """

    nearest: NDArray[np.int64]
    second: NDArray[np.int64]
    mq: NDArray[np.float64]
    second_ratio: NDArray[np.float64]

    def below(self, tau: float) -> int:
        """MQ(tau) as a count."""
        return int((self.mq < tau).sum())

    def far_nearer(self, ratio: float) -> int:
        """Images whose nearest-to-second-nearest distance ratio is below `ratio`."""
        return int((self.second_ratio < ratio).sum())

    def of(self, chosen: NDArray[np.bool_]) -> "Closeness":
        """Of the images for which `chosen`, bool [M], holds."""
        return Closeness(self.nearest[chosen], self.second[chosen], self.mq[chosen], self.second_ratio[chosen])

    def order(self) -> NDArray[np.int64]:
        """Images from the most to the least memorized one; equal ones by index."""
        return np.lexsort((self.second_ratio, self.mq)).astype(np.int64)

    def copies(self, tau: float, ratio: float) -> NDArray[np.bool_]:
        """Which images either measure takes for a copy."""
        return np.asarray((self.mq < tau) | (self.second_ratio < ratio))


def closeness(
    images: Images,
    training: Images,
    stages: Sequence[Sequence[Transform]],
    config: Evaluate,
    device: torch.device,
    on_progress: Callable[[int, int], None] = lambda done, of: None,
    views: Sequence[Images] = (),
) -> list[Closeness]:
    """Measure every image, once a stage of transforms (plain first, then augmentation-aware).

    Args:
        training: at least `config.neighbours` images.
        on_progress: called with how many training images of how many are searched.
        views: further views of the training images, for transforms that go by them, see `nearest`.
    """
    return closeness_of({"": images}, training, stages, config, device, on_progress, views)[""]


def closeness_of(
    sets: Mapping[str, Images],
    training: Images,
    stages: Sequence[Sequence[Transform]],
    config: Evaluate,
    device: torch.device,
    on_progress: Callable[[int, int], None] = lambda done, of: None,
    views: Sequence[Images] = (),
) -> dict[str, list[Closeness]]:
    """Measure several sets of images at once, so that the training images are read once for all; see `closeness`."""
    images = Several(list(sets.values()))
    found = nearest(images, training, stages, config.neighbours, device, on_progress, views=views)
    return apart(closeness_among(found), sets)


def closeness_among(found: Sequence[Neighbours]) -> list[Closeness]:
    """By the neighbours that were found: plain ones first."""
    return [_of(neighbours, plain=found[0]) for neighbours in found]


def apart(measured: Sequence[Closeness], sets: Mapping[str, Images]) -> dict[str, list[Closeness]]:
    """Of each set by itself, measured one after another."""
    separate, first = {}, 0
    for name, some in sets.items():
        mine = np.zeros(sum(len(images) for images in sets.values()), np.bool_)
        mine[first : first + len(some)] = True
        separate[name] = [closeness.of(mine) for closeness in measured]
        first += len(some)
    return separate


def _of(neighbours: Neighbours, plain: Neighbours) -> Closeness:
    """
    Args:
        neighbours: under the stage's transforms.
        plain: without any.
    """
    first = neighbours.distances[:, 0].astype(np.float64)
    nearest, plain_distances = neighbours.indices[:, 0], plain.distances.astype(np.float64)
    other = np.where(plain.indices[:, 0] == nearest, plain_distances[:, 1], plain_distances[:, 0])
    plain_ratio = _ratio(plain_distances[:, 0], plain_distances[:, 1])
    return Closeness(
        nearest=nearest,
        second=neighbours.indices[:, 1],
        mq=_ratio(first, plain_distances.mean(axis=1)),
        second_ratio=np.sqrt(np.minimum(plain_ratio, _ratio(first, other))),
    )


def _ratio(over: NDArray[np.float64], under: NDArray[np.float64]) -> NDArray[np.float64]:
    """over / under; 0 / 0 is an exact copy of an image that the training set holds several times: 0."""
    return np.divide(over, under, out=np.zeros_like(over), where=under > 0)

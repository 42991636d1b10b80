"""Copies on a descriptor: how similar each image is to a training image, and how much of it it keeps."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from .descriptors import Descriptor
from .images import Images
from .similarity import Similar, most_similar
from .template import copied_extent

_AT_ONCE = 256
_SMALLEST = 16
"""Pixels of height and width from which on blocks tell anything: those of smaller images match by chance."""


@dataclass(frozen=True)
class Likeness:
    """Of M images.

    Attributes:
        similar: the most similar training images.
        whole: images that are nearly all of one of these, bool [M].
        template: those that keep a part of one of these and are not whole copies, bool [M].
        extent: whether both are told: of images below 16 pixels they are not.
        by_originals: `whole` and `template` by the first view of the training images alone; None where it is the only
            one.
    """

    similar: Similar
    whole: NDArray[np.bool_]
    template: NDArray[np.bool_]
    extent: bool = True
    by_originals: tuple[NDArray[np.bool_], NDArray[np.bool_]] | None = None

    def __len__(self) -> int:
        return len(self.whole)

    def above(self, threshold: float) -> NDArray[np.bool_]:
        """Which are more similar to a training image than `threshold`."""
        return np.asarray(self.similar.largest > threshold)

    def far_nearer(self, ratio: float) -> NDArray[np.bool_]:
        """Whose nearest-to-second-nearest distance ratio is below `ratio`."""
        return np.asarray(self.similar.second_ratio < ratio)

    def copies(self, threshold: float, ratio: float) -> NDArray[np.bool_]:
        """Which images some measure takes for a copy."""
        return self.above(threshold) | self.far_nearer(ratio) | self.whole | self.template

    def of(self, chosen: NDArray[np.bool_]) -> "Likeness":
        """Of the images for which `chosen`, bool [M], holds."""
        return Likeness(self.similar.of(chosen), self.whole[chosen], self.template[chosen], self.extent)

    def order(self) -> NDArray[np.int64]:
        """Images from the most to the least similar one; equal ones by index."""
        return np.argsort(-self.similar.largest, kind="stable").astype(np.int64)


def likeness(
    sets: Mapping[str, Images],
    training: Sequence[Images],
    descriptor: Descriptor,
    device: torch.device,
    own: Mapping[str, NDArray[np.int64]] | None = None,
    on_progress: Callable[[int, int], None] = lambda done, of: None,
) -> dict[str, Likeness]:
    """Measure all sets of images in one pass over the training images; the arguments are those of `most_similar`.

    What an image keeps is sought in its most similar training images, in all views of these.
    """
    found = most_similar(sets, training, descriptor, device, own, on_progress)
    return {name: _with_extent(images, training, found[name], device) for name, images in sets.items()}


def _with_extent(images: Images, training: Sequence[Images], similar: Similar, device: torch.device) -> Likeness:
    nothing = np.zeros(len(images), np.bool_)
    if len(images) and min(images.take(np.arange(1)).shape[2:]) < _SMALLEST:
        return Likeness(similar, nothing, nothing.copy(), extent=False)
    views = [_extent(images, view, similar.index, device) for view in training]
    whole, template = (np.logical_or.reduce([view[kind] for view in views]) for kind in (0, 1))
    first = None if len(views) == 1 else (views[0][0], views[0][1] & ~views[0][0])
    return Likeness(similar, whole, template & ~whole, by_originals=first)


def _extent(
    images: Images, training: Images, candidates: NDArray[np.int64], device: torch.device
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which images are nearly all, and which a part, of one of their candidates, int64 [M, k]; bool [M] each."""
    whole, template = np.zeros(len(images), np.bool_), np.zeros(len(images), np.bool_)
    for first in range(0, len(images), _AT_ONCE):
        some = np.arange(first, min(first + _AT_ONCE, len(images)))
        generated = images.take(some)
        for positions in candidates[some].T:
            extent = copied_extent(generated, training.take(positions), device)
            whole[some] |= extent.whole
            template[some] |= extent.template
    return whole, template

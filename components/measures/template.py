"""Whole-image copies and template copies told apart: which blocks of a training image stand in an image.

A template copy keeps a part of a training image, a background, a layout or a product, and changes another (R. Webster,
"A reproducible extraction of training images from diffusion models", arXiv 2305.08694: template verbatims, which a
distance over whole images misses and a masked one finds). Here no mask is given: a grid of blocks is compared.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from .exact import exact

MATCH: Final = 0.85
"""Least normalised cross-correlation of a block that matches."""
TEXTURE: Final = 10.0
"""Least standard deviation, in grey levels, of a training image's block that counts: flat ones look alike anywhere."""
WHOLE: Final = 0.9
"""Least share of the blocks that count of which a whole-image copy keeps."""
TEMPLATE: Final = 0.5
"""The same of a template copy."""
AROUND: Final = 0.25
"""The same where all that does not match lies in one rectangle, and all outside of it matches."""
FEWEST: Final = 6
"""Least number of blocks that count; of fewer nothing is told."""

_LARGEST = 32
"""Pixels of height and width; larger images are averaged down to at most so many: at 64 a pair would cost ten times."""
_AT_ONCE_BYTES = 64 << 20
_CPU = torch.device("cpu")


@dataclass(frozen=True)
class Extent:
    """How much of a training image each of n images keeps.

    Attributes:
        whole: nearly all blocks that count match, bool [n].
        template: at least half do, or all that lie outside one rectangle; not whole, bool [n].
        matched: share of the blocks that count which match, float64 [n]; 0 where too few count.
    """

    whole: NDArray[np.bool_]
    template: NDArray[np.bool_]
    matched: NDArray[np.float64]


@exact()
def copied_extent(images: NDArray[np.uint8], training: NDArray[np.uint8], device: torch.device = _CPU) -> Extent:
    """What each image keeps of the training image at the same place, the best over mirror and shifts.

    Shifts go up to 1/16 of the side, one pixel at least, and what they move out of the frame is not compared. A block
    counts where the training image has texture there, and matches by the zero-mean normalised cross-correlation of each
    channel, weighted by the training image's variance in it: brightness, contrast and a tint do not matter. Where the
    training image is flat an image may hold anything. Beside the arguments a fixed number of megabytes is used.

    Args:
        images, training: uint8 [n, C, H, W] each, pair by pair.
        device: to compute on.
    """
    size = int(np.prod(images.shape[1:], dtype=np.int64)) * 4
    at_once = max(1, _AT_ONCE_BYTES // max(1, size * 8))
    parts = [
        [found.cpu() for found in _extent(images[first : first + at_once], training[first : first + at_once], device)]
        for first in range(0, len(images), at_once)
    ]
    whole, template = (np.concatenate([np.zeros(0, np.bool_), *(p[i].numpy() for p in parts)]) for i in (0, 1))
    return Extent(whole, template, np.concatenate([np.zeros(0), *(p[2].double().numpy() for p in parts)]))


def blocks_a_side(pixels: int) -> int:
    """Of an image of so many pixels: 4 to 8, of 4 pixels where that lies between."""
    return min(8, max(4, pixels // 4))


def _extent(
    images: NDArray[np.uint8], training: NDArray[np.uint8], device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """Whole bool [n], template bool [n], share float32 [n]: of the way that shows the most."""
    a, b = _reduced(images, device), _reduced(training, device)
    whole, template = (torch.zeros(len(a), dtype=torch.bool, device=device) for _ in range(2))
    best = torch.zeros(len(a), device=device)
    for here, there in _ways(a, b):
        counts, matches = _blocks(here, there)
        of, share = counts.sum(dim=(1, 2)), matches.sum(dim=(1, 2))
        enough = of >= FEWEST
        share = torch.where(enough, share / of.clamp(min=1), 0.0)
        whole |= share >= WHOLE
        template |= (share >= TEMPLATE) | ((share >= AROUND) & (_outside(counts, matches) >= AROUND * of) & enough)
        best = torch.maximum(best, share)
    return whole, template & ~whole, best


def _reduced(images: NDArray[np.uint8], device: torch.device) -> Tensor:
    """uint8 [n, C, H, W] to float32 around 0, at most 32 pixels a side."""
    values = torch.from_numpy(np.ascontiguousarray(images)).to(device).float() - 128
    height, width = values.shape[2:]
    size = (min(height, _LARGEST), min(width, _LARGEST))
    return values if size == (height, width) else F.interpolate(values, size, mode="area")


def _ways(images: Tensor, training: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Both as they overlap, for each mirror and shift of the training images."""
    height, width = images.shape[2:]
    down, right = (max(1, side // 16) for side in (height, width))
    for mirrored in (training, training.flip(3)):
        for y in range(-down, down + 1):
            for x in range(-right, right + 1):
                yield (
                    images[:, :, max(y, 0) : height + min(y, 0), max(x, 0) : width + min(x, 0)],
                    mirrored[:, :, max(-y, 0) : height + min(-y, 0), max(-x, 0) : width + min(-x, 0)],
                )


def _blocks(images: Tensor, training: Tensor) -> tuple[Tensor, Tensor]:
    """Which blocks count, and which of these match: bool [n, rows, columns] each."""
    mean_a, mean_b = _means(images), _means(training)
    variance_a = (_means(images.square()) - mean_a.square()).clamp(min=1)  # of a flat block nothing is made large
    variance_b = (_means(training.square()) - mean_b.square()).clamp(min=0)
    covariance = _means(images * training) - mean_a * mean_b
    counts = variance_b.mean(dim=1) >= TEXTURE**2
    # the correlation of each channel, weighted by the training image's variance
    weighed = ((variance_b / variance_a).sqrt() * covariance).sum(dim=1)
    return counts, counts & (weighed >= MATCH * variance_b.sum(dim=1))


def _means(planes: Tensor) -> Tensor:
    """float32 [n, C, H, W] to the means of its blocks, [n, C, rows, columns]."""
    height, width = planes.shape[2:]
    return _averaging(height, planes.device) @ planes @ _averaging(width, planes.device).T


@lru_cache(maxsize=8)
def _averaging(pixels: int, device: torch.device) -> Tensor:
    """A row a block, [blocks, pixels], each of which averages its pixels."""
    block = torch.arange(pixels) * blocks_a_side(pixels) // pixels
    rows = F.one_hot(block).T.float()
    return (rows / rows.sum(dim=1, keepdim=True)).to(device)


def _outside(counts: Tensor, matches: Tensor) -> Tensor:
    """How many blocks that count lie outside the least rectangle of those that do not match, int64 [n]."""
    missed = counts & ~matches
    inside = _span(missed.any(dim=2))[:, :, None] & _span(missed.any(dim=1))[:, None, :]
    return (counts & ~inside).sum(dim=(1, 2))


def _span(found: Tensor) -> Tensor:
    """From the first to the last that is found, bool [n, places]."""
    numbers = found.int()
    return (numbers.cumsum(dim=1) > 0) & (numbers.flip(1).cumsum(dim=1).flip(1) > 0)

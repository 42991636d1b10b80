"""How far a fine-tuned model's images drifted from its base's, of the same prompts and the same noise."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .features import Features
from .images import Images
from .intervals import Mean
from .quality import frechet_distance, moments

_BLOCK: Final = 1024


@dataclass(frozen=True)
class Apart:
    """Two sets of images, image i of one made as image i of the other.

    Attributes:
        frechet: squared Frechet distance of the sets: 0 where the second set holds the same images, in whatever order.
        pairs: mean distance of an image and its counterpart, over the mean distance of images that are none of each
            other: 0 for the same images, 1 for unrelated ones. The interval takes the latter mean for known.
        images: of each set.
    """

    frechet: float
    pairs: Mean
    images: int


def apart(
    images: Images,
    base: Images,
    features: Features,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Apart | None:
    """Compare the sets on features.

    Args:
        images, base: as many of each; all are held as features, float32 [n, F].
        on_progress: called with images done and images in all.

    Returns:
        None for fewer than two images of each, of which there are no unrelated ones.
    """
    count = len(images)
    if count != len(base):
        raise ValueError(f"{count} images and {len(base)} of the base model are no pairs")
    if count < 2:
        return None
    done, found = 0, []
    for source in (images, base):
        blocks = []
        for start in range(0, count, _BLOCK):
            positions = np.arange(start, min(start + _BLOCK, count))
            blocks.append(features(source.take(positions)))
            done += len(positions)
            on_progress(done, 2 * count)
        found.append(torch.cat(blocks))
    mine, its = found
    between = _unrelated(mine, its)
    ratios = (mine.double() - its.double()).norm(dim=1) / between if between else torch.zeros(count)
    pairs = Mean.of_values(_array(ratios))
    assert pairs is not None
    return Apart(frechet_distance(moments(mine), moments(its)), pairs, count)


def _unrelated(mine: Tensor, its: Tensor) -> float:
    """Mean distance of an image and the counterpart of another one."""
    total, count = 0.0, len(mine)
    origin = its.double().mean(dim=0)  # near all of them, so that little cancels in the products
    others = its.double() - origin
    for start in range(0, count, _BLOCK):
        distances = torch.cdist(mine[start : start + _BLOCK].double() - origin, others)
        total += float(distances.sum() - distances.diagonal(offset=start).sum())
    return total / (count * (count - 1))


def _array(values: Tensor) -> NDArray[np.float64]:
    return np.asarray(values.double().cpu().numpy(), np.float64)

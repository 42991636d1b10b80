"""The invertible augmentations that training could apply: what a copy may have gone through."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ..config.fields import TAA


class Way(Protocol):
    """In which training images are looked at, see `Transform`."""

    @property
    def view(self) -> int: ...

    def __call__(self, images: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Transform:
    """Mirrored left to right if `flip`, then shifted by whole pixels, the edge repeated into the gap.

    Attributes:
        view: of which view of the training images: 0 is the images themselves, a further one what stands for them, such
            as their reconstructions.
    """

    flip: bool = False
    down: int = 0
    right: int = 0
    view: int = 0

    def __call__(self, images: Tensor) -> Tensor:
        """[n, C, H, W] of the view to the same shape."""
        moved = images.flip(3) if self.flip else images
        return _shifted(_shifted(moved, self.down, 2), self.right, 3)


def _shifted(images: Tensor, by: int, along: int) -> Tensor:
    """By whole pixels, in slices: to pick pixel by pixel takes twenty times as long."""
    if not by:
        return images
    pixels = images.shape[along]
    kept = max(0, pixels - abs(by))
    edge = images.narrow(along, 0 if by > 0 else pixels - 1, 1)
    gap = edge.expand(*(pixels - kept if dim == along else -1 for dim in range(images.ndim)))
    rest = images.narrow(along, 0 if by > 0 else pixels - kept, kept)
    return torch.cat([gap, rest] if by > 0 else [rest, gap], dim=along)


IDENTITY = Transform()


def stages(taa: TAA, views: int = 1) -> tuple[tuple[Transform, ...], tuple[Transform, ...]]:
    """What the plain search allows, and what the augmentation-aware one allows beside it.

    The flip is always allowed, since nobody takes a mirrored copy for a new image. Shifts are when
    the configuration names them, also under a variant without TAA, so that variants are measured alike.
    RandAugment has no inverse and is left out. Views beside the images themselves are augmentation-aware: the plain
    search is among the images alone.

    Args:
        views: of the training images.
    """
    reach = taa.shift_pixels if "shift" in taa.augmentations else 0
    shifts = range(-reach, reach + 1)
    ways = [(flip, y, x) for flip in (False, True) for y in shifts for x in shifts]
    every = [Transform(*way, view) for view in range(views) for way in ways]
    return (IDENTITY,), tuple(t for t in every if t != IDENTITY)

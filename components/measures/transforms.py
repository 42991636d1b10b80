"""The invertible augmentations that training could apply: what a copy may have gone through."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..config.fields import TAA


@dataclass(frozen=True)
class Transform:
    """Mirrored left to right if `flip`, then shifted by whole pixels, the edge repeated into the gap."""

    flip: bool = False
    down: int = 0
    right: int = 0

    def __call__(self, images: Tensor) -> Tensor:
        """[n, C, H, W] to the same shape."""
        if self == IDENTITY:
            return images
        height, width = images.shape[2:]
        y = (torch.arange(height, device=images.device) - self.down).clamp(0, height - 1)
        x = (torch.arange(width, device=images.device) - self.right).clamp(0, width - 1)
        if self.flip:
            x = width - 1 - x
        return images[:, :, y][:, :, :, x]


IDENTITY = Transform()


def stages(taa: TAA) -> tuple[tuple[Transform, ...], tuple[Transform, ...]]:
    """What the plain search allows, and what the augmentation-aware one allows beside it.

    The flip is always allowed, since nobody takes a mirrored copy for a new image. Shifts are when
    the configuration names them, also under a variant without TAA, so that variants are measured alike.
    RandAugment has no inverse and is left out.
    """
    reach = taa.shift_pixels if "shift" in taa.augmentations else 0
    shifts = range(-reach, reach + 1)
    every = [Transform(flip, y, x) for flip in (False, True) for y in shifts for x in shifts]
    return (IDENTITY,), tuple(t for t in every if t != IDENTITY)

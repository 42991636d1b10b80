"""RandAugment, on the host: too many different operations for the device, so for larger images only."""

from collections.abc import Mapping

import torch
from torch import Tensor


def randaugment(images: Tensor, seeds: Mapping[int, int]) -> Tensor:
    """Apply torchvision's RandAugment (two operations of magnitude 9) to some images of a batch.

    Args:
        images: uint8 [B, C, H, W], on any device.
        seeds: a seed for each image that is augmented, by its place in the batch. The default CPU
            generator is left seeded by the last of them.

    Returns:
        uint8 [B, C, H, W], on the device of `images`.
    """
    from torchvision.transforms.v2 import RandAugment  # a second to import, wanted by few runs

    augment = RandAugment()
    images = images.clone()
    for place, seed in seeds.items():
        torch.manual_seed(seed)
        images[place] = augment(images[place].cpu()).to(images.device)
    return images

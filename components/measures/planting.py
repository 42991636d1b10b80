"""Copies that are planted: images that went through what a copy may go through, by which measures are judged."""

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F


def warped(images: Tensor, mirrored: Tensor, zoom: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Mirror, cut out a window, and scale it to the whole; what lies outside of the image repeats its edge.

    Args:
        images: float32 [n, C, H, W].
        mirrored: bool [n].
        zoom: the window's side as a share of the image's, float32 [n].
        down, right: of the window's middle from the image's, as shares of its side, float32 [n].
    """
    zero = torch.zeros_like(zoom)
    across = torch.where(mirrored, -zoom, zoom)
    # coordinates go from -1 to 1
    maps = torch.stack([torch.stack([across, zero, 2 * right], 1), torch.stack([zero, zoom, 2 * down], 1)], 1)
    grid = F.affine_grid(maps, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def blurred(images: Tensor, deviation: float) -> Tensor:
    """By a Gaussian of this standard deviation in pixels, the edge repeated; float32 [n, C, H, W]."""
    reach = min(max(1, round(2 * deviation)), min(images.shape[2:]) - 1)
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / deviation) ** 2).to(images.device)
    kernel = (kernel / kernel.sum()).expand(images.shape[1], 1, 1, -1)
    wide = F.pad(images, (reach, reach, reach, reach), "replicate")
    wide = F.conv2d(wide, kernel, groups=images.shape[1])
    return F.conv2d(wide, kernel.transpose(2, 3), groups=images.shape[1])


def tinted(images: Tensor, gain: Tensor, offset: Tensor) -> Tensor:
    """Contrast and colour: each channel times its gain around the middle grey, and brighter by the offset.

    Args:
        images: float32 [n, C, H, W] in [0, 1].
        gain: float32 [n, C]; offset: float32 [n].
    """
    return (images - 0.5) * gain[:, :, None, None] + 0.5 + offset[:, None, None, None]


def noised(images: Tensor, deviation: Tensor, generator: torch.Generator) -> Tensor:
    """With white noise of these standard deviations, float32 [n], of values in [0, 1]."""
    return images + torch.randn(images.shape, generator=generator) * deviation[:, None, None, None]


def uniform(count: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    """float32 [count]."""
    return low + (high - low) * torch.rand(count, generator=generator)


def either(count: int, generator: torch.Generator) -> Tensor:
    """-1 or 1, float32 [count]."""
    return torch.randint(2, (count,), generator=generator) * 2.0 - 1


def _plain(images: Tensor, generator: torch.Generator) -> Tensor:
    return images


def _crop(images: Tensor, generator: torch.Generator) -> Tensor:
    n, side = len(images), 0.75
    reach = (1 - side) / 2
    down, right = (uniform(n, -reach, reach, generator) for _ in range(2))
    return warped(images, torch.zeros(n, dtype=torch.bool), torch.full((n,), side), down, right)


def _flip(images: Tensor, generator: torch.Generator) -> Tensor:
    return images.flip(3)


def _shift(images: Tensor, generator: torch.Generator) -> Tensor:
    n, (height, width) = len(images), images.shape[2:]
    # whole pixels
    down = max(1, height // 8) / height * either(n, generator)
    right = max(1, width // 8) / width * either(n, generator)
    return warped(images, torch.zeros(n, dtype=torch.bool), torch.ones(n), down, right)


def _blur(images: Tensor, generator: torch.Generator) -> Tensor:
    return blurred(images, max(0.7, images.shape[2] / 32))


def _colour(images: Tensor, generator: torch.Generator) -> Tensor:
    n, channels = images.shape[:2]
    gain = uniform(n * channels, 0.6, 1.0, generator).view(n, channels)
    return tinted(images, gain, 0.12 * either(n, generator))


def _noise(images: Tensor, generator: torch.Generator) -> Tensor:
    return noised(images, torch.full((len(images),), 0.06), generator)


KINDS: Final[dict[str, Callable[[Tensor, torch.Generator], Tensor]]] = {
    "plain": _plain,
    "crop": _crop,
    "flip": _flip,
    "shift": _shift,
    "blur": _blur,
    "colour": _colour,
    "noise": _noise,
}
"""By name; what each does to images, float32 [n, C, H, W] in [0, 1]."""
MEANING: Final = {
    "plain": "as it is",
    "crop": "a window of 3/4 of the side, anywhere, scaled to the whole",
    "flip": "mirrored left to right",
    "shift": "by 1/8 of the side both ways, the edge repeated",
    "blur": "Gaussian of 1/32 of the side, 0.7 pixels at least",
    "colour": "contrast of each channel 0.6 to 1, all brighter or darker by 0.12",
    "noise": "white, of a deviation of 0.06",
}
"""What stands for what is planted, values going from 0 to 1."""


def planted(images: Tensor, kind: str, seed: int) -> Tensor:
    """Copies of a kind, one an image.

    Args:
        images: uint8 [n, C, H, W].
        kind: of `KINDS`.
        seed: the same gives the same copies.

    Returns:
        uint8 [n, C, H, W].
    """
    copies = KINDS[kind](images.float() / 255, torch.Generator().manual_seed(seed))
    return (copies * 255).round().clamp(0, 255).byte()

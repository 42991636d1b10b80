"""Threshold-aware augmentation: when a sample is flagged, how it is augmented, which number the network is told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import Tensor

from ..config import RunConfig
from ..config.fields import CAPTION_KINDS, TAA
from .streams import begin_default, seed_of

MAGNITUDE: Final = 9
"""Of RandAugment, torchvision's default."""
STRONGEST: Final = 5
"""Largest magnitude of RandAugment where its strength goes by the margin."""


@dataclass(frozen=True)
class Augmentation:
    """One augmentation of an image.

    Attributes:
        kind: the configured kind that it belongs to.
        flip: mirrored left to right.
        down, right: shift in pixels, the edge repeated into the gap.
    """

    kind: str
    flip: bool = False
    down: int = 0
    right: int = 0


def augmentations(taa: TAA) -> list[Augmentation]:
    """All that the configuration may draw; condition c > 0 stands for entry c - 1, condition 0 for 'none'."""
    listed = []
    for kind in dict.fromkeys(taa.augmentations):
        if kind == "horizontal_flip":
            listed.append(Augmentation(kind, flip=True))
        elif kind == "shift":
            reach = range(-taa.shift_pixels, taa.shift_pixels + 1)
            listed += [Augmentation(kind, down=y, right=x) for y in reach for x in reach if (y, x) != (0, 0)]
        else:
            listed.append(Augmentation(kind))
    return listed


@dataclass(frozen=True)
class Variant:
    """An image as it is encoded once, for the visits that find it so.

    Attributes:
        kind: of the augmentation, "none" for the image as it is.
        number: which one of the kind and magnitude, from 0.
        flip: whether it is mirrored besides, `train.horizontal_flip` being on.
        magnitude: of RandAugment.
    """

    kind: str
    number: int = 0
    flip: bool = False
    magnitude: int = MAGNITUDE

    def __str__(self) -> str:
        strength = "" if self.magnitude == MAGNITUDE else f" of magnitude {self.magnitude}"
        return f"{self.kind}{strength} {self.number}{' flipped' if self.flip else ''}"


def image_variants(config: RunConfig) -> list[Variant]:
    """All that a sample's image is encoded as: plain, then each kind's; with flips, each one and its mirror image.

    A kind that draws something has `encode.variants` of them, RandAugment at each strength that it may have.
    """
    kinds = [kind for kind in dict.fromkeys(config.taa.augmentations) if kind not in CAPTION_KINDS]
    listed = [Variant("none")]
    for kind in kinds if config.taa.enabled else ():
        times = 1 if kind == "horizontal_flip" else config.encode.variants
        by_margin = kind == "randaugment" and config.train.gate == "samples"
        magnitudes = range(STRONGEST + 1) if by_margin else (MAGNITUDE,)
        listed += [Variant(kind, number, magnitude=m) for m in magnitudes for number in range(times)]
    if not config.train.horizontal_flip:
        return listed
    return [replace(one, flip=flip) for one in listed for flip in (False, True)]


def rewritten_kinds(config: RunConfig) -> list[str]:
    """Augmentations that make another text of a caption, in the order of the configuration."""
    kinds = dict.fromkeys(config.taa.augmentations) if config.taa.enabled else ()
    return [kind for kind in kinds if kind in ("repeat_word", "replace_words")]


def conditions_by_kind(listed: Sequence[Augmentation]) -> dict[str, list[int]]:
    """The conditions of each kind, in the order of `augmentations`, whose result is given."""
    by_kind: dict[str, list[int]] = {}
    for condition, one in enumerate(listed, start=1):
        by_kind.setdefault(one.kind, []).append(condition)
    return by_kind


def variant_condition(by_kind: Mapping[str, Sequence[int]], variant: Variant, sample: int) -> int:
    """The condition of a sample's variant: which augmentation of its kind, by the draw of (sample, number).

    Args:
        by_kind: of `conditions_by_kind`.
        sample: its row in the data set.
    """
    if variant.kind == "none":
        return 0
    members = by_kind[variant.kind]
    return members[seed_of(f"variant {variant.kind}", sample, variant.number) % len(members)]


class Augmenter:
    """Draws and applies the configured augmentations on the device, without waiting for it.

    A condition is an image's augmentation by number: 0 for none, c for entry c - 1 of
    `unecho.components.method.augment.augmentations`.
    """

    def __init__(self, config: RunConfig, device: torch.device) -> None:
        self._always_flip = config.train.horizontal_flip
        listed: Sequence[Augmentation] = augmentations(config.taa) if config.taa.enabled else ()
        every = [Augmentation("none"), *listed]
        self._flip = torch.tensor([a.flip for a in every], device=device)
        self._down = torch.tensor([a.down for a in every], device=device)
        self._right = torch.tensor([a.right for a in every], device=device)
        self._moves = self._always_flip or bool(listed)
        by_kind = conditions_by_kind(listed)
        self._by_kind = list(by_kind.values())
        self.on_host = by_kind.get("randaugment", [])

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """A condition for each of `count` samples, should it be flagged: int64 [count] on the CPU.

        Each kind is as likely as the other, then each augmentation of the kind.
        """
        if not self._by_kind:
            return torch.zeros(count, dtype=torch.int64)
        kind = torch.randint(len(self._by_kind), (count,), generator=generator)
        pick = torch.rand(count, generator=generator, dtype=torch.float64)
        width = max(len(members) for members in self._by_kind)
        table = torch.tensor([members + [0] * (width - len(members)) for members in self._by_kind])
        sizes = torch.tensor([len(members) for members in self._by_kind])
        return table[kind, (pick * sizes[kind]).long()]

    def apply(self, images: Tensor, condition: Tensor) -> Tensor:
        """Flip and shift each image as its condition says; `horizontal_flip` mirrors half of all first.

        Draws from the default generator of the images' device.

        Args:
            images: [B, C, H, W].
            condition: int64 [B].
        """
        if not self._moves:
            return images
        flip = self._flip[condition]
        if self._always_flip:
            flip = flip ^ (torch.rand(len(images), device=images.device) < 0.5)
        return flip_and_shift(images, flip, self._down[condition], self._right[condition])


def is_flagged(loss: Tensor, bank: Tensor, augment_below: float) -> Tensor:
    """Whether a sample comes close to being skipped, bool [B]: loss_i < augment_below * m[t_i].

    Args:
        loss: float32 [B].
        bank: m[t_i] as it was before this batch, float32 [B].
    """
    return loss < augment_below * bank


def magnitude_by_margin(loss: Tensor, bank: Tensor, skip_ratio: float) -> int:
    """RandAugment's magnitude of what a scored batch lets through: int(5 s), from 0 to 5.

    s is the mean over the batch of exp(-5 |skip_ratio * loss_i - m_i| / m_i): 1 where all losses stand just where
    samples are skipped, 0 far from it. Where m_i is 0 no margin is known yet, and the sample adds 0. Waits for the
    device. Source: the code of the authors of arXiv 2502.09434.

    Args:
        loss: float32 [B].
        bank: m[t_i] as it was before this batch, float32 [B].
    """
    known = bank > 0
    margin = (skip_ratio * loss - bank).abs() / torch.where(known, bank, 1.0)
    strength = torch.where(known, torch.exp(-5 * margin), 0.0).mean()
    return int(STRONGEST * strength.nan_to_num(0.0).item())  # of a loss that is no number, the run tells by itself


def flip_and_shift(images: Tensor, flip: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Mirror left to right where `flip`, then shift by whole pixels, repeating the edge into the gap.

    Args:
        images: [B, C, H, W].
        flip: bool [B].
        down, right: int64 [B], pixels.
    """
    height, width = images.shape[2:]
    y = (torch.arange(height, device=images.device) - down[:, None]).clamp(0, height - 1)
    x = (torch.arange(width, device=images.device) - right[:, None]).clamp(0, width - 1)
    x = torch.where(flip[:, None], width - 1 - x, x)
    sample = torch.arange(len(images), device=images.device)[:, None, None]
    moved = images.permute(0, 2, 3, 1)[sample, y[:, :, None], x[:, None, :]]
    return moved.permute(0, 3, 1, 2).contiguous()


def randaugment(images: Tensor, seeds: Mapping[int, int], magnitude: int = MAGNITUDE) -> Tensor:
    """Apply torchvision's RandAugment (two operations) to some images of a batch.

    Args:
        images: uint8 [B, C, H, W], on any device.
        seeds: a seed for each image that is augmented, by its place in the batch. The default CPU
            generator is left where the last of them ended.

    Returns:
        uint8 [B, C, H, W], on the device of `images`.
    """
    from torchvision.transforms.v2 import RandAugment  # a second to import, wanted by few runs

    augment = RandAugment(num_ops=2, magnitude=magnitude)
    images = images.clone()
    for place, seed in seeds.items():
        begin_default(torch.device("cpu"), "randaugment", seed)
        images[place] = augment(images[place].cpu()).to(images.device)
    return images

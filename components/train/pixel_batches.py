"""Batches of images: augmented on the device where they are flagged, by RandAugment on the host."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..config import RunConfig
from ..diffusion.family import Batch, TrainableFamily
from ..method.augment import Augmenter, randaugment
from ..method.streams import seed_of
from .held import AHEAD, Rows
from .order import Order


@dataclass(frozen=True)
class PickedImages:
    """The images of one update, on the device.

    Attributes:
        samples: positions in the shard, int64 [B].
        images: uint8 [B, C, H, W]; flagged samples whose augmentation is RandAugment have it already.
        if_flagged: the augmentation that each gets should it be flagged, by number; int64 [B].
    """

    samples: Tensor
    images: Tensor
    if_flagged: Tensor
    augmenter: Augmenter
    family: TrainableFamily

    def batch(self, flagged: Tensor) -> Batch:
        """The images as they are seen: flipped and augmented."""
        condition = torch.where(flagged, self.if_flagged, 0)
        return Batch(self.family.x0(self.augmenter.apply(self.images, condition)), condition)


class PixelBatches:
    """The batches of a shard slot, in order and read ahead.

    What an epoch draws, its order and an augmentation for each sample, is drawn on the CPU when it begins.
    """

    def __init__(
        self,
        config: RunConfig,
        shard: int,
        order: Order,
        images: Rows,
        augmenter: Augmenter,
        family: TrainableFamily,
        device: torch.device,
    ) -> None:
        self._seed, self._shard, self._order, self._device = config.seed, shard, order, device
        self._images, self._augmenter, self._family = images, augmenter, family
        self.steps_per_epoch = order.steps_per_epoch
        self._epoch = -1

    def at(self, step: int, augment_next: Tensor) -> PickedImages:
        """The batch of global step `step`.

        Args:
            augment_next: the flags as they are now, bool [n_k].
        """
        if (epoch := self._order.epoch(step)) != self._epoch:
            self._begin(epoch, step, augment_next)
        while self._expected < min(self._order.end(step), step + AHEAD):
            self._images.expect(self._order.positions(self._permutation, self._expected))
            self._expected += 1
        positions = self._order.positions(self._permutation, step)
        samples = positions.to(self._device, non_blocking=True)
        images = self._with_randaugment(self._images.take(positions), positions)
        return PickedImages(samples, images, self._choice[samples], self._augmenter, self._family)

    def _begin(self, epoch: int, step: int, augment_next: Tensor) -> None:
        self._epoch, self._expected = epoch, step
        self._permutation = self._order.permutation(epoch)
        choice = self._augmenter.draw(len(self._permutation), self._order.generator(epoch, "augment"))
        self._choice = choice.to(self._device, non_blocking=True)
        self._on_host: Tensor | None = None
        if self._augmenter.on_host:
            # a sample's flag changes at its visits only, one an epoch: the epoch's are known now
            on_host = torch.isin(choice, torch.tensor(self._augmenter.on_host, dtype=choice.dtype))
            self._on_host = on_host & augment_next.cpu()

    def _with_randaugment(self, images: Tensor, positions: Tensor) -> Tensor:
        if self._on_host is None:
            return images
        seeds = {
            place: seed_of(f"randaugment {self._epoch}", self._seed, self._shard, int(position))
            for place, position in enumerate(positions)
            if self._on_host[position]
        }
        return randaugment(images, seeds)

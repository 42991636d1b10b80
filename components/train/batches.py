"""Which samples an update sees, with which augmentation, and how their pixels get to the device."""

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..config import RunConfig
from ..config.counts import batch_size, steps_per_epoch, steps_per_round
from ..data import Dataset
from ..method.augment import Augmenter, randaugment
from ..method.streams import generator_of, seed_of

AHEAD = 4
"""Batches that are read while one trains."""
_SHARE_OF_MEMORY = 0.25


class Order:
    """The batches of a shard slot: batch b of epoch e, for every global step of the slot.

    Every round begins an epoch, since its shard may hold other samples than the round before: a round of
    `local_steps` that ends inside an epoch leaves the rest of it out, so that no sample is seen twice in an
    epoch, or missed by one that runs to its end.
    """

    def __init__(self, config: RunConfig, shard: int, samples: int) -> None:
        """
        Args:
            samples: n_k; `shard` has made sure that a batch can be filled under drop_last.
        """
        self._seed, self._shard, self._samples = config.seed, shard, samples
        self._batch = batch_size(config, samples)
        self.steps_per_epoch = steps_per_epoch(config, samples)
        self._steps_per_round = steps_per_round(config, samples)
        self._epochs_per_round = -(-self._steps_per_round // self.steps_per_epoch)

    def epoch(self, step: int) -> int:
        """The epoch that a global step belongs to, counted over all rounds."""
        round, within = divmod(step, self._steps_per_round)
        return round * self._epochs_per_round + within // self.steps_per_epoch

    def end(self, step: int) -> int:
        """The first step after the epoch that a global step belongs to."""
        round, within = divmod(step, self._steps_per_round)
        after = (within // self.steps_per_epoch + 1) * self.steps_per_epoch
        return round * self._steps_per_round + min(after, self._steps_per_round)

    def generator(self, epoch: int, purpose: str) -> torch.Generator:
        """What an epoch draws from on the CPU."""
        return generator_of(purpose, self._seed, self._shard, epoch)

    def permutation(self, epoch: int) -> Tensor:
        """The epoch's order of the shard's samples, int64 [n_k] of positions in the shard."""
        return torch.randperm(self._samples, generator=self.generator(epoch, "order"))

    def positions(self, permutation: Tensor, step: int) -> Tensor:
        """The samples of a step, by position in the shard, int64 [at most batch_size].

        Args:
            permutation: of the epoch that `step` belongs to.
        """
        first = step % self._steps_per_round % self.steps_per_epoch * self._batch
        return permutation[first : first + self._batch]


@dataclass(frozen=True)
class Picked:
    """The batch of one update, on the device.

    Attributes:
        samples: positions in the shard, int64 [B].
        images: uint8 [B, C, H, W]; flagged samples whose augmentation is RandAugment have it already.
        if_flagged: the augmentation that each gets should it be flagged, by number; int64 [B].
    """

    samples: Tensor
    images: Tensor
    if_flagged: Tensor


class Batches:
    """The batches of a shard slot, in order and read ahead.

    What an epoch draws, its order and an augmentation for each sample, is drawn on the CPU when it begins.
    """

    def __init__(
        self,
        config: RunConfig,
        shard: int,
        order: Order,
        images: "HeldImages | StreamedImages",
        augmenter: Augmenter,
        device: torch.device,
    ) -> None:
        self._seed, self._shard, self._order, self._device = config.seed, shard, order, device
        self._images, self._augmenter = images, augmenter
        self.steps_per_epoch = order.steps_per_epoch
        self._epoch = -1

    def at(self, step: int, augment_next: Tensor) -> Picked:
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
        return Picked(samples, self._with_randaugment(self._images.take(positions), positions), self._choice[samples])

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


class HeldImages:
    """The shard's images stay on the device as uint8."""

    def __init__(self, dataset: Dataset, rows: NDArray[np.int64], device: torch.device) -> None:
        self._images = torch.from_numpy(dataset.rows(rows)).to(device)
        self._device = device

    def expect(self, positions: Tensor) -> None:
        """Nothing to fetch ahead."""

    def take(self, positions: Tensor) -> Tensor:
        """uint8 [B, C, H, W] on the device."""
        return self._images.index_select(0, positions.to(self._device, non_blocking=True))


class StreamedImages:
    """Batches are read while earlier ones train: for shards larger than the device's memory."""

    def __init__(
        self, dataset: Dataset, rows: NDArray[np.int64], device: torch.device, pool: ThreadPoolExecutor
    ) -> None:
        self._dataset, self._rows, self._device, self._pool = dataset, rows, device, pool
        self._coming: deque[tuple[bytes, Future[Tensor]]] = deque()

    def expect(self, positions: Tensor) -> None:
        """Start to read a batch that will be taken soon."""
        self._coming.append((positions.numpy().tobytes(), self._pool.submit(self._read, positions)))

    def take(self, positions: Tensor) -> Tensor:
        """uint8 [B, C, H, W] on the device."""
        key = positions.numpy().tobytes()
        while self._coming:
            expected, future = self._coming.popleft()
            if expected == key:
                return future.result().to(self._device, non_blocking=True)
        return self._read(positions).to(self._device, non_blocking=True)

    def _read(self, positions: Tensor) -> Tensor:
        images = torch.from_numpy(self._dataset.rows(self._rows[positions.numpy()]))
        return images.pin_memory() if self._device.type == "cuda" else images


@contextmanager
def shard_images(
    config: RunConfig, dataset: Dataset, rows: NDArray[np.int64], device: torch.device
) -> Iterator[HeldImages | StreamedImages]:
    """The shard's images, held or streamed as `execution.hold_images` says.

    Args:
        rows: the shard's rows in the data set, sorted, int64 [n_k].
    """
    hold = config.execution.hold_images
    if hold == "auto":
        needed = len(rows) * dataset.channels * dataset.resolution**2
        hold = "device" if needed <= _SHARE_OF_MEMORY * _memory_bytes(device) else "stream"
    if hold == "device":
        yield HeldImages(dataset, rows, device)
        return
    with ThreadPoolExecutor(AHEAD, "unecho-batch") as pool:
        yield StreamedImages(dataset, rows, device, pool)


def _memory_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")

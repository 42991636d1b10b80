"""Which samples a step sees, and how their pixels get to the device."""

import hashlib
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unecho.components.config import RunConfig
from unecho.components.config.counts import batch_size, steps_per_epoch
from unecho.components.data import Dataset

AHEAD = 4
"""Batches that are read while one trains."""
_SHARE_OF_MEMORY = 0.25


def seed_of(seed: int, purpose: str, shard: int, number: int) -> int:
    """A seed for torch, a function of its arguments only: never of history, or of how work was split."""
    digest = hashlib.sha256(f"{purpose} {seed} {shard} {number}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


class Order:
    """The batches of a shard slot: batch b of epoch e, for every global step of the slot."""

    def __init__(self, config: RunConfig, shard: int, samples: int) -> None:
        """
        Args:
            samples: n_k; `shard` has made sure that a batch can be filled under drop_last.
        """
        self._seed, self._shard, self._samples = config.seed, shard, samples
        self._batch = batch_size(config, samples)
        self.steps_per_epoch = steps_per_epoch(config, samples)

    def epoch(self, step: int) -> int:
        """The epoch that a global step belongs to."""
        return step // self.steps_per_epoch

    def generator(self, epoch: int, purpose: str) -> torch.Generator:
        """What an epoch draws from on the CPU."""
        return torch.Generator("cpu").manual_seed(seed_of(self._seed, purpose, self._shard, epoch))

    def permutation(self, epoch: int) -> Tensor:
        """The epoch's order of the shard's samples, int64 [n_k] of positions in the shard."""
        return torch.randperm(self._samples, generator=self.generator(epoch, "order"))

    def positions(self, permutation: Tensor, step: int) -> Tensor:
        """The samples of a step, by position in the shard, int64 [at most batch_size]."""
        first = step % self.steps_per_epoch * self._batch
        return permutation[first : first + self._batch]


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

"""The batches of a shard slot, whatever a family trains on."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..config import RunConfig
from ..data import Dataset
from ..diffusion.family import Batch, TrainableFamily
from ..method.augment import Augmenter
from ..run import Run
from .encoded_batches import EncodedBatches, encoded_shard
from .held import shard_rows
from .order import Order
from .pixel_batches import PixelBatches


class Picked(Protocol):
    """What one update was given, on the device.

    Attributes:
        samples: positions in the shard, int64 [B].
    """

    @property
    def samples(self) -> Tensor: ...

    def batch(self, flagged: Tensor) -> Batch:
        """What the network sees of it; draws from the default generator of the device.

        Args:
            flagged: which samples are augmented, bool [B].
        """


class Batches(Protocol):
    """The batches of a shard slot, in order and read ahead.

    Attributes:
        steps_per_epoch: updates that one pass over the shard takes.
    """

    @property
    def steps_per_epoch(self) -> int: ...

    def at(self, step: int, augment_next: Tensor) -> Picked:
        """The batch of global step `step`.

        Args:
            augment_next: the flags as they are now, bool [n_k].
        """


@contextmanager
def shard_batches(
    run: Run,
    config: RunConfig,
    family: TrainableFamily,
    dataset: Dataset,
    rows: NDArray[np.int64],
    index: int,
    device: torch.device,
) -> Iterator[Batches]:
    """The batches of shard `index`.

    Args:
        rows: the shard's rows in the data set, sorted, int64 [n_k].

    Raises:
        Fatal: an object is missing or altered; names it.
    """
    order = Order(config, index, len(rows))
    if config.model.family == "latents":
        with encoded_shard(run, config, dataset, rows, device) as shard:
            yield EncodedBatches(config, index, order, shard, family, device)
        return

    def read(numbers: NDArray[np.int64]) -> Tensor:
        return torch.from_numpy(dataset.rows(numbers))

    row_bytes = dataset.channels * dataset.resolution**2
    with shard_rows(config, read, rows, row_bytes, device) as images:
        yield PixelBatches(config, index, order, images, Augmenter(config, device), family, device)

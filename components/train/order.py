"""Which samples each update of a shard slot sees."""

import torch
from torch import Tensor

from ..config import RunConfig
from ..config.counts import batch_size, steps_per_epoch, steps_per_round
from ..method.streams import generator_of


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

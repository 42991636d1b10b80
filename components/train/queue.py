"""The samples' gate: what passes it waits in a queue, and is trained anew, augmented and at another timestep."""

from functools import partial

import torch
from torch import Tensor

from ..config import RunConfig
from ..config.counts import batch_size, steps_per_round
from ..diffusion.compiling import Compiling
from ..diffusion.family import TrainableFamily
from ..method.augment import magnitude_by_margin
from ..method.streams import generator_of
from .encoded_batches import EncodedBatches
from .slot import Slot
from .update import Trainer


class QueueTrainer(Trainer):
    """Updates a shard slot as the authors of arXiv 2502.09434 do for Stable Diffusion (`train.gate` samples)."""

    def __init__(
        self,
        config: RunConfig,
        family: TrainableFamily,
        shard: int,
        slot: Slot,
        batches: EncodedBatches,
        compiling: Compiling | None = None,
    ) -> None:
        super().__init__(config, family, shard, slot, batches, compiling)
        self._encoded = batches
        self._batch_size = batch_size(config, len(slot.visits))
        self._batches_per_round = steps_per_round(config, len(slot.visits))

    def update(self) -> None:
        """One batch: score, skip, bank, queue, counts; and once the queue holds a batch, one step by its first samples.

        What the queue holds beyond a batch when it trains is lost, and what it holds when the round ends, since the
        next one may have other samples.
        """
        config, slot = self._config, self._slot

        # Batch, scored without a gradient at a timestep and noise of its own
        picked = self._batches.at(slot.batches, slot.augment_next)
        batch, t, noise = self._draw("score", slot.batches, picked, slot.augment_next[picked.samples])
        with torch.no_grad():
            score = partial(self._family.losses, slot.network, batch, t, noise)
            loss = self._passed(score, settles=False)  # the way back is still to come

            # Skip and strength (TAA), by the bank as it was before this batch; then the bank (AGC)
            skipped = self._skipped(loss, t)
            magnitude = None
            if config.taa.enabled:
                magnitude = magnitude_by_margin(loss, slot.bank.at(t), config.agc.skip_ratio)
            if config.keeps_bank:
                slot.bank.update(t, loss)
        self._count(picked.samples, loss, skipped)

        # Queue: all but the skipped, in the order of the batch
        samples, left = torch.stack([picked.samples, skipped.long()]).cpu()  # once: the device is waited for
        passed = samples[left == 0] if config.agc.enabled else samples
        slot.queued = torch.cat([slot.queued, passed])
        if len(slot.queued) >= self._batch_size:
            self._train(slot.queued[: self._batch_size], magnitude)
            self._drop(slot.queued[self._batch_size :])
        if slot.batches % self._batches_per_round == 0:
            self._drop(slot.queued)

    def _train(self, samples: Tensor, magnitude: int | None) -> None:
        """One step by these samples, at fresh timesteps, whatever their loss is now."""
        config, slot = self._config, self._slot
        picked = self._encoded.again(samples, magnitude, generator_of("again", config.seed, self._shard, slot.step))
        batch, t, noise = self._draw("step", slot.step, picked, torch.zeros_like(picked.samples, dtype=torch.bool))
        self._gradient(batch, t, noise, lambda loss, t: torch.zeros_like(loss, dtype=torch.bool))
        self._step()
        if magnitude is not None:
            slot.augmented += len(samples)

    def _drop(self, samples: Tensor) -> None:
        self._slot.lost += len(samples)
        self._slot.queued = torch.zeros_like(samples[:0])

"""One update of a proxy's weights, from first to last."""

import math

import torch

from ..config import RunConfig
from ..config.counts import steps_per_round
from ..diffusion.family import Batch, Family
from ..method.anti_gradient import is_skipped, mean_of_kept
from ..method.augment import Augmenter, is_flagged
from ..method.streams import begin_default
from .batches import Batches
from .slot import Slot


class Trainer:
    """Updates a shard slot, batch after batch."""

    def __init__(
        self, config: RunConfig, family: Family, shard: int, slot: Slot, augmenter: Augmenter, batches: Batches
    ) -> None:
        self._config, self._family, self._shard, self._slot = config, family, shard, slot
        self._augmenter, self._batches = augmenter, batches
        self._planned_steps = config.iet.rounds * steps_per_round(config, len(slot.visits))

    def update(self) -> None:
        """One update: batch, augmentation, forward, skip, backward, rate, moving average, counts.

        Nothing in it waits for the device, but for RandAugment, which runs on the host.
        """
        config, slot = self._config, self._slot

        # Batch: which samples, and the augmentation that each has should it be flagged (RandAugment is applied there)
        picked = self._batches.at(slot.step, slot.augment_next)
        device = picked.samples.device
        begin_default(device, "step", config.seed, self._shard, slot.step)

        # What follows draws from here on: flips, timesteps, noise, dropout. Augment the flagged (TAA)
        flagged = slot.augment_next[picked.samples]
        condition = torch.where(flagged, picked.if_flagged, 0)
        x0 = self._family.x0(self._augmenter.apply(picked.images, condition))

        # Forward: a loss for each (sample, timestep) pair
        t = torch.randint(config.noise.timesteps, (len(x0),), device=device)
        noise = torch.randn_like(x0)
        loss = self._family.losses(slot.network, Batch(x0, condition), t, noise)

        # Skip what is abnormally low, flag what comes close (AGC, TAA), by the bank as it was before this batch
        skipped = torch.zeros_like(flagged)
        if config.keeps_bank:
            with torch.no_grad():
                bank = slot.bank.at(t)
                skipped = is_skipped(loss, bank, config.agc.skip_ratio)
                if config.taa.enabled:
                    slot.augment_next[picked.samples] = is_flagged(loss, bank, config.taa.augment_below)
                slot.bank.update(t, loss)

        # Backward; without AGC skips are counted (MSR reads them) and no gradient is dropped
        batch_loss = mean_of_kept(loss, skipped) if config.agc.enabled else loss.mean()
        slot.optimizer.zero_grad(set_to_none=True)
        batch_loss.backward()  # type: ignore[no-untyped-call]
        if config.train.grad_clip is not None:
            torch.nn.utils.clip_grad_norm_(slot.parameters, config.train.grad_clip)

        # Step at this step's learning rate
        rate = learning_rate(config, slot.step, self._batches.steps_per_epoch, self._planned_steps)
        for group in slot.optimizer.param_groups:
            group["lr"] = rate
        slot.optimizer.step()

        # Moving average of the weights; its warm-up goes by the slot's steps, those of before a resume included
        slot.ema.optimization_step = slot.step
        slot.ema.step(slot.parameters)

        # Counts
        with torch.no_grad():
            slot.step += 1
            slot.visits[picked.samples] += 1
            slot.skips[picked.samples] += skipped.int()
            slot.loss_sum += loss.sum()
            slot.augmented += flagged.sum()


def learning_rate(config: RunConfig, step: int, steps_per_epoch: int, planned_steps: int) -> float:
    """The learning rate of global step `step` (from 0) of a slot: linear warm-up, then constant or cosine.

    Args:
        planned_steps: steps of the slot over all planned rounds.
    """
    warmup = round(config.train.warmup_epochs * steps_per_epoch)
    if step < warmup:
        return config.train.learning_rate * (step + 1) / warmup
    if config.train.decay == "constant":
        return config.train.learning_rate
    done = (step - warmup) / max(1, planned_steps - warmup)
    return config.train.learning_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))

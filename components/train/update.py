"""One update of a proxy's weights, from first to last."""

import math

import torch
from torch import Tensor

from ..config import RunConfig
from ..config.counts import steps_per_round
from ..diffusion.family import Batch, Family
from ..method.anti_gradient import is_skipped, mean_of_kept, sum_of_kept
from ..method.augment import is_flagged
from ..method.streams import begin_default
from .batches import Batches
from .slot import Slot


class Trainer:
    """Updates a shard slot, batch after batch."""

    def __init__(self, config: RunConfig, family: Family, shard: int, slot: Slot, batches: Batches) -> None:
        self._config, self._family, self._shard, self._slot, self._batches = config, family, shard, slot, batches
        self._planned_steps = config.iet.rounds * steps_per_round(config, len(slot.visits))

    def update(self) -> None:
        """One update: batch, augmentation, forward, skip, backward, rate, moving average, counts.

        Nothing in it waits for the device, but for RandAugment, which runs on the host.
        """
        config, slot = self._config, self._slot

        # Batch: which samples, and the augmentation that each has should it be flagged
        picked = self._batches.at(slot.step, slot.augment_next)
        device = picked.samples.device
        begin_default(device, "step", config.seed, self._shard, slot.step)

        # What follows draws from here on: flips, latents, timesteps, noise, dropout. The flagged are augmented (TAA)
        flagged = slot.augment_next[picked.samples]
        batch = picked.batch(flagged)
        t = torch.randint(config.noise.timesteps, (len(batch.x0),), device=device)
        noise = self._noise(batch.x0)

        # Forward and backward, in as many parts as are asked for: a loss for each (sample, timestep) pair
        slot.optimizer.zero_grad(set_to_none=True)
        parts = min(config.train.gradient_accumulation_steps, len(t))
        done = [
            self._backward(*part, whole=parts == 1)
            for part in zip(batch.split(parts), t.tensor_split(parts), noise.tensor_split(parts), strict=True)
        ]
        loss, skipped = (torch.cat(of_parts) for of_parts in zip(*done, strict=True))
        if parts > 1:
            kept = (~skipped).sum() if config.agc.enabled else len(loss)
            torch._foreach_div_(slot.gradients(), torch.as_tensor(kept, device=device).clamp(min=1))

        # Flag what comes close to being skipped (TAA), by the bank as it was before this batch; then the bank (AGC)
        if config.keeps_bank:
            with torch.no_grad():
                if config.taa.enabled:
                    slot.augment_next[picked.samples] = is_flagged(loss, slot.bank.at(t), config.taa.augment_below)
                slot.bank.update(t, loss)
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

    def _noise(self, x0: Tensor) -> Tensor:
        noise = torch.randn_like(x0)
        if offset := self._config.train.noise_offset:
            noise += offset * torch.randn(*x0.shape[:2], *[1] * (x0.ndim - 2), device=x0.device)
        return noise

    def _backward(self, batch: Batch, t: Tensor, noise: Tensor, *, whole: bool) -> tuple[Tensor, Tensor]:
        """Add to the gradient; samples whose loss is abnormally low add nothing (AGC).

        Without AGC skips are counted (MSR reads them) and no gradient is dropped. The bank sees losses unweighted.

        Args:
            whole: whether it is all of the update's batch; the gradient of a part is that of a sum, not of a mean.

        Returns:
            loss float32 [B], skipped bool [B].
        """
        config, slot = self._config, self._slot
        loss = self._family.losses(slot.network, batch, t, noise)
        skipped = torch.zeros(len(loss), dtype=torch.bool, device=loss.device)
        if config.keeps_bank:
            with torch.no_grad():
                skipped = is_skipped(loss, slot.bank.at(t), config.agc.skip_ratio)
        weights = self._family.weights_of(t)
        weighted = loss if weights is None else loss * weights
        dropped = skipped if config.agc.enabled else torch.zeros_like(skipped)
        of_batch = mean_of_kept(weighted, dropped) if whole else sum_of_kept(weighted, dropped)
        of_batch.backward()  # type: ignore[no-untyped-call]
        return loss.detach(), skipped


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

"""One update of a proxy's weights, from first to last."""

import math
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor

from ..config import RunConfig
from ..config.counts import steps_per_round
from ..diffusion.compiling import Compiling
from ..diffusion.family import Batch, TrainableFamily
from ..method.anti_gradient import is_skipped, mean_of_kept, sum_of_kept
from ..method.augment import is_flagged
from ..method.streams import begin_default
from .batches import Batches, Picked
from .slot import Slot

T = TypeVar("T")


class Trainer:
    """Updates a shard slot, batch after batch."""

    def __init__(
        self,
        config: RunConfig,
        family: TrainableFamily,
        shard: int,
        slot: Slot,
        batches: Batches,
        compiling: Compiling | None = None,
    ) -> None:
        """
        Args:
            compiling: of the slot's network, where it is to be compiled.
        """
        self._config, self._family, self._shard, self._slot, self._batches = config, family, shard, slot, batches
        self._compiling = compiling
        self._planned_steps = config.iet.rounds * steps_per_round(config, len(slot.visits))

    def update(self) -> None:
        """One update: batch, augmentation, forward, skip, backward, rate, moving average, counts.

        Nothing in it waits for the device, but for RandAugment, which runs on the host.
        """
        config, slot = self._config, self._slot

        # Batch: which samples, and the augmentation that each has should it be flagged
        picked = self._batches.at(slot.batches, slot.augment_next)

        # What follows draws from here on: flips, latents, timesteps, noise, dropout. The flagged are augmented (TAA)
        flagged = slot.augment_next[picked.samples]
        batch, t, noise = self._draw("step", slot.step, picked, flagged)

        # Forward and backward: a loss for each (sample, timestep) pair; those that are skipped add no gradient (AGC)
        loss, skipped = self._gradient(batch, t, noise, self._skipped)

        # Flag what comes close to being skipped (TAA), by the bank as it was before this batch; then the bank (AGC)
        if config.keeps_bank:
            with torch.no_grad():
                if config.taa.enabled:
                    slot.augment_next[picked.samples] = is_flagged(loss, slot.bank.at(t), config.taa.augment_below)
                slot.bank.update(t, loss)

        # Step, by the gradient and the learning rate; the moving average
        self._step()

        # Counts
        self._count(picked.samples, loss, skipped)
        slot.augmented += flagged.sum()

    def _count(self, samples: Tensor, loss: Tensor, skipped: Tensor) -> None:
        """A batch has been seen."""
        slot = self._slot
        slot.batches += 1
        slot.visits[samples] += 1
        slot.skips[samples] += skipped.int()
        slot.loss_sum += loss.sum()

    def _draw(self, purpose: str, number: int, picked: Picked, flagged: Tensor) -> tuple[Batch, Tensor, Tensor]:
        """Begin a stream; draw from it what is seen of a batch, the timesteps int64 [B], and the noise.

        Args:
            purpose, number: of the stream.
            flagged: which samples are augmented, bool [B].
        """
        device = picked.samples.device
        begin_default(device, purpose, self._config.seed, self._shard, number)
        batch = picked.batch(flagged)
        t = torch.randint(self._config.noise.timesteps, (len(batch.x0),), device=device)
        return batch, t, self._noise(batch.x0)

    def _noise(self, x0: Tensor) -> Tensor:
        noise = torch.randn_like(x0)
        if offset := self._config.train.noise_offset:
            noise += offset * torch.randn(*x0.shape[:2], *[1] * (x0.ndim - 2), device=x0.device)
        return noise

    @torch.no_grad()
    def _skipped(self, loss: Tensor, t: Tensor) -> Tensor:
        """Which losses are abnormally low, bool [B]; none where no part reads the bank."""
        if not self._config.keeps_bank:
            return torch.zeros_like(loss, dtype=torch.bool)
        return is_skipped(loss, self._slot.bank.at(t), self._config.agc.skip_ratio)

    def _gradient(
        self, batch: Batch, t: Tensor, noise: Tensor, skipped_of: Callable[[Tensor, Tensor], Tensor]
    ) -> tuple[Tensor, Tensor]:
        """The gradient of the batch's loss, in as many passes as are asked for.

        Without AGC skips are counted (MSR reads them) and no gradient is dropped. The bank sees losses unweighted.

        Args:
            skipped_of: from losses and timesteps to those that are skipped.

        Returns:
            loss float32 [B], skipped bool [B].
        """
        config, slot = self._config, self._slot
        parts = min(config.train.gradient_accumulation_steps, len(t))
        done = [
            self._passed(partial(self._backward, *part, skipped_of, whole=parts == 1))
            for part in zip(batch.split(parts), t.tensor_split(parts), noise.tensor_split(parts), strict=True)
        ]
        loss, skipped = (torch.cat(of_parts) for of_parts in zip(*done, strict=True))
        if parts > 1:
            kept = (~skipped).sum() if config.agc.enabled else torch.full((), len(loss), device=t.device)
            torch._foreach_div_(slot.gradients(), kept.clamp(min=1))
        return loss, skipped

    def _passed(self, compute: Callable[[], T], *, settles: bool = True) -> T:
        """What passes the network, which may be compiled at that."""
        return compute() if self._compiling is None else self._compiling(compute, settles=settles)

    def _backward(
        self,
        batch: Batch,
        t: Tensor,
        noise: Tensor,
        skipped_of: Callable[[Tensor, Tensor], Tensor],
        *,
        whole: bool,
    ) -> tuple[Tensor, Tensor]:
        """Add to the gradient.

        Args:
            whole: whether it is all of the update's batch; the gradient of a part is that of a sum, not of a mean.
        """
        loss = self._family.losses(self._slot.network, batch, t, noise)
        skipped = skipped_of(loss.detach(), t)
        weights = self._family.weights_of(t)
        weighted = loss if weights is None else loss * weights
        dropped = skipped if self._config.agc.enabled else torch.zeros_like(skipped)
        of_batch = mean_of_kept(weighted, dropped) if whole else sum_of_kept(weighted, dropped)
        of_batch.backward()  # type: ignore[no-untyped-call]
        return loss.detach(), skipped

    def _step(self) -> None:
        """One optimizer step by the gradient that is there; schedule and moving average go by the slot's steps."""
        config, slot = self._config, self._slot
        if config.train.grad_clip is not None:
            torch.nn.utils.clip_grad_norm_(slot.parameters, config.train.grad_clip)
        rate = learning_rate(config, slot.step, self._batches.steps_per_epoch, self._planned_steps)
        for group in slot.optimizer.param_groups:
            group["lr"] = rate
        slot.optimizer.step()
        slot.optimizer.zero_grad(set_to_none=True)  # before the average, which takes as much for itself
        slot.average()
        slot.step += 1


def learning_rate(config: RunConfig, step: int, steps_per_epoch: int, planned_steps: int) -> float:
    """The learning rate of global step `step` (from 0) of a slot: linear warm-up, then constant or cosine.

    Args:
        planned_steps: steps of the slot over all planned rounds.
    """
    warmup = config.train.warmup_steps or round(config.train.warmup_epochs * steps_per_epoch)
    if step < warmup:
        return config.train.learning_rate * (step + 1) / warmup
    if config.train.decay == "constant":
        return config.train.learning_rate
    done = (step - warmup) / max(1, planned_steps - warmup)
    return config.train.learning_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))

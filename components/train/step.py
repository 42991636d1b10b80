"""One proxy through one round."""

import time
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from unecho.components.config import RunConfig
from unecho.components.config.counts import steps_per_round
from unecho.components.diffusion.device import choose_device, device_name, set_numerics
from unecho.components.diffusion.noise import noise_schedule
from unecho.components.diffusion.pixels import condition_count
from unecho.components.diffusion.sampling import preview_strip
from unecho.components.failure import Fatal, Stopped
from unecho.components.method.anti_gradient import is_skipped, mean_of_kept
from unecho.components.method.augment import Augmenter, randaugment
from unecho.components.progress import Progress
from unecho.components.run import Assignment, ModelRecord, ProxyRecord, RoundFigures, Run, ran_with
from unecho.components.run.data import open_dataset
from unecho.components.run.tensors import load_json, load_state, state_bytes
from unecho.components.train.batches import AHEAD, Order, seed_of, shard_images
from unecho.components.train.checkpoint import Checkpoints, stop_asked
from unecho.components.train.slot import Slot, learning_rate

_TELL_EVERY_S = 0.5


def step(run: Run, round: int | None, index: int | None, progress: Progress) -> ProxyRecord:
    """Train proxy `index` on its shard through round `round`; goes on from its newest checkpoint.

    Raises:
        Stopped: SIGTERM or SIGINT arrived; the progress is in the store.
        Fatal: the loss is not a number, an object is missing or altered.
    """
    assert round is not None
    assert index is not None
    started = time.time()
    config = run.config()

    with Checkpoints(run, round, index, config.execution.checkpoint_every_s) as checkpoints:
        if found := run.find(ProxyRecord, round, index):
            checkpoints.remove()
            return found

        # Device and numerics
        set_numerics(config)
        device = choose_device(config)

        # Data: the shard's rows and their flags
        assignment = load_state(run.store, run.load(Assignment, round).objects["assignment.safetensors"])
        rows = torch.nonzero(assignment["shard"] == index).flatten().numpy()
        if not len(rows):
            raise Fatal(f"{run.url}: round {round}: shard {index} is empty")
        dataset = open_dataset(run, config)

        # Model r, and what stays with the slot from the round before
        model = run.load(ModelRecord, round)
        network_config = load_json(run.store, model.objects["network.json"])
        raw = load_state(run.store, model.objects["raw.safetensors"])
        ema = load_state(run.store, model.objects["ema.safetensors"])
        slot = Slot(config, network_config, raw, ema, assignment["augment_next"][rows], device)
        if round:
            before = run.load(ProxyRecord, round - 1, index)
            slot.continue_from(
                load_state(run.store, before.objects["optimizer.safetensors"]),
                load_state(run.store, before.objects["bank.safetensors"])["bank"],
                before.global_step,
            )
        preview = (
            preview_strip(config, network_config, ema if config.sample.weights == "ema" else raw, device)
            if index == 0 and config.report.preview
            else None
        )
        del raw, ema

        # The round's steps, and how many of them are done
        order = Order(config, index, len(rows))
        first, last = slot.step, slot.step + steps_per_round(config, len(rows))
        if newest := checkpoints.newest(progress.note):
            slot.restore(newest[1], newest[0])
            progress.note(f"round {round} shard {index}: goes on from step {slot.step - first} of {last - first}")

        # Train
        with stop_asked() as asked, shard_images(config, dataset, rows, device) as images:
            loop = _Loop(config, index, slot, order, images, device)
            told = time.monotonic()
            while slot.step < last:
                loop.step()
                if time.monotonic() - told >= _TELL_EVERY_S or slot.step == last:
                    told = time.monotonic()
                    figures = _figures(slot, round, first)
                    _check_finite(figures, run, index, slot.step - first)
                    progress.update(
                        slot.step - first, last - first, "steps", loss=figures.loss, skip_rate=figures.skip_rate
                    )
                if (status := asked()) is not None or checkpoints.due():
                    figures = _figures(slot, round, first)
                    _check_finite(figures, run, index, slot.step - first)
                    checkpoints.write(slot.step, slot.snapshot(), figures)
                if status is not None:
                    checkpoints.wait()
                    raise Stopped(status, f"round {round} shard {index}: stopped after step {slot.step - first}, kept")

        # Commit
        record = _record(run, round, index, slot, rows, first, preview, started, device)
        record = run.commit(record, round, index)
        checkpoints.remove()
        return record


class _Loop:
    """The training step, over a slot."""

    def __init__(
        self, config: RunConfig, shard: int, slot: Slot, order: Order, images: Any, device: torch.device
    ) -> None:
        self._config, self._shard, self._slot, self._order = config, shard, slot, order
        self._images, self._device = images, device
        self._noise = noise_schedule(config)
        self._augmenter = Augmenter(config, device)
        self._told = condition_count(config) is not None
        self._epoch = -1
        self._planned = config.iet.rounds * steps_per_round(config, len(slot.visits))

    def step(self) -> None:
        """One batch: forward, anti-gradient control, backward, counts. Waits for nothing on the device."""
        config, slot = self._config, self._slot
        on_cpu = self._positions(slot.step)
        batch = on_cpu.to(self._device, non_blocking=True)
        pixels = self._pixels(on_cpu)
        torch.manual_seed(seed_of(config.seed, "step", self._shard, slot.step))

        flagged = slot.augment_next[batch]
        condition = torch.where(flagged, self._choice[batch], 0)
        x0 = self._augmenter.apply(pixels, condition).float() / 127.5 - 1
        t = torch.randint(config.noise.timesteps, (len(batch),), device=self._device)
        noise = torch.randn_like(x0)
        loss = self._losses(x0, t, noise, condition)

        skipped = torch.zeros_like(flagged)
        if config.keeps_bank:
            with torch.no_grad():
                bank = slot.bank.at(t)  # as it was before this batch
                skipped = is_skipped(loss, bank, config.agc.skip_ratio)
                if config.taa.enabled:
                    slot.augment_next[batch] = loss < config.taa.augment_below * bank
                slot.bank.update(t, loss)
        total = mean_of_kept(loss, skipped) if config.agc.enabled else loss.mean()
        rate = learning_rate(config, slot.step, self._order.steps_per_epoch, self._planned)
        slot.update(total, config.train.grad_clip, rate)

        with torch.no_grad():
            slot.visits[batch] += 1
            slot.skips[batch] += skipped.int()
            slot.loss_sum += loss.sum()
            slot.augmented += flagged.sum()

    def _losses(self, x0: Tensor, t: Tensor, noise: Tensor, condition: Tensor) -> Tensor:
        """Per-sample mean squared error of the prediction, float32 [B]."""
        x_t = self._noise.add_noise(x0, noise, t)
        target = noise
        if self._config.noise.prediction == "v_prediction":
            target = self._noise.get_velocity(x0, noise, t)
        elif self._config.noise.prediction == "sample":
            target = x0
        half = self._config.train.precision == "bfloat16"
        with torch.autocast(self._device.type, torch.bfloat16, enabled=half):
            predicted = self._slot.network(x_t, t, class_labels=condition if self._told else None).sample
        return F.mse_loss(predicted.float(), target, reduction="none").mean(dim=(1, 2, 3))

    def _positions(self, step: int) -> Tensor:
        epoch = self._order.epoch(step)
        if epoch != self._epoch:
            self._epoch = epoch
            self._permutation = self._order.permutation(epoch)
            choice = self._augmenter.draw(len(self._permutation), self._order.generator(epoch, "augment"))
            self._choice = choice.to(self._device, non_blocking=True)
            # A sample's flag changes at its visits only, one an epoch: the epoch's are known now.
            on_host = torch.isin(choice, torch.tensor(self._augmenter.on_host, dtype=choice.dtype))
            self._on_host = on_host & self._slot.augment_next.cpu() if self._augmenter.on_host else None
            self._expected = step
        ends = (epoch + 1) * self._order.steps_per_epoch
        while self._expected < min(ends, step + AHEAD):
            self._images.expect(self._order.positions(self._permutation, self._expected))
            self._expected += 1
        return self._order.positions(self._permutation, step)

    def _pixels(self, positions: Tensor) -> Tensor:
        pixels: Tensor = self._images.take(positions)
        if self._on_host is not None:
            seeds = {
                i: seed_of(self._config.seed, f"randaugment {self._epoch}", self._shard, int(p))
                for i, p in enumerate(positions)
                if self._on_host[p]
            }
            pixels = randaugment(pixels, seeds)
        return pixels


def _figures(slot: Slot, round: int, first: int) -> RoundFigures:
    visits = int(slot.visits.sum())
    return RoundFigures(
        round=round,
        visits=visits,
        skips=int(slot.skips.sum()),
        augmented=int(slot.augmented),
        steps=slot.step - first,
        loss=float(slot.loss_sum) / max(visits, 1),
    )


def _check_finite(figures: RoundFigures, run: Run, shard: int, step: int) -> None:
    if not np.isfinite(figures.loss):
        raise Fatal(
            f"{run.url}: round {figures.round} shard {shard}: the loss is not a number by step {step}: "
            "lower train.learning_rate, or set train.grad_clip"
        )


def _record(
    run: Run,
    round: int,
    index: int,
    slot: Slot,
    rows: np.ndarray[Any, np.dtype[np.int64]],
    first: int,
    preview: bytes | None,
    started: float,
    device: torch.device,
) -> ProxyRecord:
    raw, ema = slot.weights()
    statistics = {
        "sample": torch.from_numpy(rows),
        "visits": slot.visits,
        "skips": slot.skips,
        "augment_next": slot.augment_next,
    }
    files = {
        "raw.safetensors": state_bytes(raw),
        "ema.safetensors": state_bytes(ema),
        "optimizer.safetensors": state_bytes(slot.optimizer_state()),
        "bank.safetensors": state_bytes({"bank": slot.bank.level}),
        "statistics.safetensors": state_bytes(statistics),
    }
    if preview is not None:
        files["preview.png"] = preview
    return ProxyRecord(
        round=round,
        shard=index,
        samples=len(rows),
        global_step=slot.step,
        figures=_figures(slot, round, first),
        objects={name: run.put(ProxyRecord, (round, index), name, data) for name, data in files.items()},
        ran_with=ran_with(started, device_name(device)),
    )

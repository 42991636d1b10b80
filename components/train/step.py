"""One proxy through one round."""

import sys
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from ..config import RunConfig
from ..config.counts import steps_per_round
from ..diffusion import trainable_family_of
from ..diffusion.arithmetic import compiles, laid_out, train_precision
from ..diffusion.compiling import Compiling
from ..diffusion.device import choose_device, device_name, let_go, set_numerics
from ..diffusion.family import TrainableFamily
from ..diffusion.sampling import preview_strip
from ..failure import DONE, Fatal, Stopped, stop_asked
from ..progress import Progress, Silent
from ..run import Assignment, ModelRecord, Plan, ProxyRecord, RoundFigures, Run, ran_with
from ..run.base_model import pretrained_of
from ..run.checkpoints import Checkpoints
from ..run.prompts import prompts_of
from ..run.records import RanWith
from ..run.tensors import load_json, load_state, sampled_weights, state_bytes
from .batches import Batches, shard_batches
from .encoded_batches import EncodedBatches
from .queue import QueueTrainer
from .ranks import Alone, Ranks, is_rank
from .slot import Slot
from .update import Trainer

_REPORT_EVERY_S = 0.5


def train(run: Run, round: int, index: int, progress: Progress) -> ProxyRecord:
    """Train proxy `index` on its shard through round `round`; goes on from its newest checkpoint.

    Raises:
        Stopped: SIGTERM or SIGINT arrived; the progress is in the store.
        Fatal: the loss is not a number, an object is missing or altered.
        SystemExit: this process is one of several that have trained it.
    """
    plan = run.plan()
    config = plan.config
    if is_rank():
        from .distributed import joined

        with joined(config) as ranks:
            _train(run, plan, round, index, progress if ranks.first else Silent(), ranks)
        sys.exit(DONE)  # who started them goes on with the record

    if found := run.find(ProxyRecord, round, index):
        with Checkpoints(run, round, index, config.execution.checkpoint_every_s) as checkpoints:
            checkpoints.remove()
        return found
    if config.train.gpus_per_shard > 1:
        from .launch import train_on_ranks

        train_on_ranks(run, config, round, index, progress)
    else:
        _train(run, plan, round, index, progress, Alone())
    return run.load(ProxyRecord, round, index)


def _train(run: Run, plan: Plan, round: int, index: int, progress: Progress, ranks: Ranks) -> None:
    """Train the proxy and commit its record; of several processes the first one does."""
    started, config = time.time(), plan.config

    with Checkpoints(run, round, index, config.execution.checkpoint_every_s) as checkpoints:
        # Device and numerics
        set_numerics(config)
        device = choose_device(config)

        # Data: the shard's rows and their flags
        assignment = load_state(run.store, run.load(Assignment, round).objects["assignment.safetensors"])
        rows = torch.nonzero(assignment["shard"] == index).flatten().numpy()
        if not len(rows):
            raise Fatal(f"{run.url}: round {round}: shard {index} is empty")
        dataset = run.dataset(config)

        # Model r, and what stays with the slot from the round before
        model, family = run.load(ModelRecord, round), trainable_family_of(config, pretrained_of(plan))
        before = run.load(ProxyRecord, round - 1, index) if round else None
        base = load_json(run.store, model.objects["network.json"])
        weights = before if before is not None and round % config.iet.average_every else model
        raw = load_state(run.store, weights.objects["raw.safetensors"])
        ema = load_state(run.store, weights.objects["ema.safetensors"])
        preview = None
        if index == 0 and config.report.preview and ranks.first:
            # before the network is there: one at a time on the device
            shown = ema if config.sample.weights == "ema" else raw
            if weights is not model:
                shown = sampled_weights(run, config, model)[1]
            preview = preview_strip(family, config, base, shown, prompts_of(run, config), device)
            del shown
            let_go(device)  # what sampling took
        steps = steps_per_round(config, len(rows))
        compiled = compiles(config, device, steps) and not ranks.several
        network = ranks.network(family.trainable(base), device)
        if compiled and config.train.optimizer != "adamw8bit":  # which lays weights out as it likes
            network = laid_out(network, device)
        slot = Slot(config, network, raw, ema, assignment["augment_next"][rows], device)
        if before is not None:
            slot.continue_from(
                load_state(run.store, before.objects["optimizer.safetensors"]),
                load_state(run.store, before.objects["bank.safetensors"])["bank"],
                round * steps,
                before.global_step,
            )
        del raw, ema

        # The round's batches, and how many of them are done
        first, last, first_step = slot.batches, slot.batches + steps, slot.step
        if newest := checkpoints.newest(progress.note):
            slot.restore(newest[1], newest[0])
            progress.note(f"round {round} shard {index}: goes on from step {slot.batches - first} of {last - first}")
        ranks.check_one_step(slot.batches)

        # Train
        with stop_asked() as asked, shard_batches(run, config, family, dataset, rows, index, device) as batches:
            compiling = Compiling(slot.network, config.compile, progress.note) if compiled else None
            trainer = trainer_of(config, ranks.family(family), index, slot, batches, compiling)
            reported = time.monotonic()
            while slot.batches < last:
                trainer.update()
                done = slot.batches - first
                if time.monotonic() - reported >= _REPORT_EVERY_S or slot.batches == last:
                    reported = time.monotonic()
                    figures = _figures(slot, round, first_step)
                    _check_finite(figures, run, index, done)
                    progress.update(done, last - first, "steps", loss=figures.loss, skip_rate=figures.skip_rate)
                status, due = ranks.agreed(asked(), ranks.first and checkpoints.due())
                if status is not None or due:
                    figures = _figures(slot, round, first_step)
                    _check_finite(figures, run, index, done)
                    snapshot = slot.snapshot()
                    if ranks.first:
                        checkpoints.write(slot.batches, snapshot, figures)
                if status is not None:
                    checkpoints.wait()
                    raise Stopped(status, f"round {round} shard {index}: stopped after step {done}, kept")

        # Commit
        files = _files(slot, rows, preview)
        if ranks.first:
            how = ran_with(
                started,
                device_name(device),
                train_precision(config, device),
                compiling is not None and compiling.works is not False,
            )
            run.commit(_record(run, round, index, slot, files, first_step, how), round, index)
            checkpoints.remove()


def trainer_of(
    config: RunConfig,
    family: TrainableFamily,
    shard: int,
    slot: Slot,
    batches: Batches,
    compiling: Compiling | None = None,
) -> Trainer:
    """What updates a shard slot, by `train.gate`.

    Args:
        compiling: of the slot's network, where it is to be compiled.
    """
    if config.train.gate == "samples":
        assert isinstance(batches, EncodedBatches)  # the configuration requires it
        return QueueTrainer(config, family, shard, slot, batches, compiling)
    return Trainer(config, family, shard, slot, batches, compiling)


def _figures(slot: Slot, round: int, first_step: int) -> RoundFigures:
    visits = int(slot.visits.sum())
    return RoundFigures(
        round=round,
        visits=visits,
        skips=int(slot.skips.sum()),
        augmented=int(slot.augmented),
        lost=int(slot.lost),
        steps=slot.step - first_step,
        loss=float(slot.loss_sum) / max(visits, 1),
    )


def _check_finite(figures: RoundFigures, run: Run, shard: int, step: int) -> None:
    if not np.isfinite(figures.loss):
        raise Fatal(
            f"{run.url}: round {figures.round} shard {shard}: the loss is not a number by step {step}: "
            "lower train.learning_rate, or set train.grad_clip"
        )


def _files(slot: Slot, rows: np.ndarray[Any, np.dtype[np.int64]], preview: bytes | None) -> dict[str, bytes]:
    """What is committed of a slot, by name."""
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
    return files


def _record(
    run: Run,
    round: int,
    index: int,
    slot: Slot,
    files: Mapping[str, bytes],
    first_step: int,
    how: RanWith,
) -> ProxyRecord:
    return ProxyRecord(
        round=round,
        shard=index,
        samples=len(slot.visits),
        global_step=slot.step,
        figures=_figures(slot, round, first_step),
        objects={name: run.put(ProxyRecord, (round, index), name, data) for name, data in files.items()},
        ran_with=how,
    )

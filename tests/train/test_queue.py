"""The samples' gate against its rule written out by hand."""

import math
import signal
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from unecho.components.config import RunConfig, resolve
from unecho.components.diffusion.family import Batch
from unecho.components.failure import TERMINATED, Stopped
from unecho.components.method import anti_gradient
from unecho.components.plan.step import plan
from unecho.components.run import ProxyRecord, Run
from unecho.components.steps import run_step
from unecho.components.train.encoded_batches import EncodedBatches, EncodedShard
from unecho.components.train.held import HeldRows
from unecho.components.train.order import Order
from unecho.components.train.queue import QueueTrainer
from unecho.components.train.slot import Slot
from unecho.components.train.update import learning_rate

CPU = torch.device("cpu")
SAMPLES, BATCH, T = 12, 4, 2


def config_of(*settings: str) -> RunConfig:
    return resolve("tiny-text-to-image", "iet-agc+paper", settings=("sample.steps=2", *settings))


@dataclass
class Asked:
    samples: Tensor

    def batch(self, flagged: Tensor) -> Batch:
        assert not flagged.any()
        return Batch(self.samples[:, None].float(), torch.zeros_like(self.samples), None)


class Toy:
    """A network of one weight; sample i has the loss (i + 1) w^2 / 12 at any timestep."""

    def __init__(self) -> None:
        self.scored: list[tuple[list[int], list[int], list[float]]] = []
        self.trained: list[tuple[list[int], list[int]]] = []

    def losses(self, network: nn.Module, batch: Batch, t: Tensor, noise: Tensor) -> Tensor:
        samples = batch.x0[:, 0]
        loss = (samples + 1) * network.get_parameter("weight").square().sum() / SAMPLES
        if torch.is_grad_enabled():
            self.trained.append((samples.int().tolist(), t.tolist()))
        else:
            self.scored.append((samples.int().tolist(), t.tolist(), loss.tolist()))
        return loss

    def weights_of(self, t: Tensor) -> None:
        return None


@dataclass
class ToyBatches:
    """Every sample once an epoch, as `Order` says; what is asked for again is noted."""

    order: Order
    steps_per_epoch: int = SAMPLES // BATCH
    asked: list[tuple[list[int], int | None]] = field(default_factory=list)

    def at(self, step: int, augment_next: Tensor) -> Asked:
        return Asked(self.order.positions(self.order.permutation(self.order.epoch(step)), step))

    def again(self, positions: Tensor, magnitude: int | None, generator: torch.Generator) -> Asked:
        self.asked.append((positions.tolist(), magnitude))
        return Asked(positions)


def slot_of(config: RunConfig) -> Slot:
    weights = {"weight": torch.ones(1, 1)}
    return Slot(config, nn.Linear(1, 1, bias=False), weights, weights, torch.zeros(SAMPLES, dtype=torch.bool), CPU)


def trained(config: RunConfig, batches: int) -> tuple[Toy, ToyBatches, Slot]:
    toy, slot = Toy(), slot_of(config)
    given = ToyBatches(Order(config, 0, SAMPLES))
    trainer = QueueTrainer(config, toy, 0, slot, given)  # type: ignore[arg-type]
    for _ in range(batches):
        trainer.update()
    return toy, given, slot


ROUND = (f"train.batch_size={BATCH}", f"noise.timesteps={T}", "iet.local_steps=25", "train.learning_rate=0.01")


@pytest.mark.parametrize(
    "settings", [(), ("taa.enabled=false",), ("agc.enabled=false",)], ids=["paper", "plain", "off"]
)
def test_batches_are_scored_queued_trained_and_dropped_by_the_authors_rule(settings: tuple[str, ...]) -> None:
    """One round of 25 batches of 4, followed sample by sample with a bank, a queue and counts in plain Python."""
    config = config_of(*ROUND, *settings)
    toy, given, slot = trained(config, 25)

    bank, queue = [0.0] * T, list[int]()
    visits, skips = [0] * SAMPLES, [0] * SAMPLES
    asked, lost, loss_sum = list[tuple[list[int], int | None]](), 0, 0.0
    for samples, timesteps, losses in toy.scored:
        before, strengths = list(bank), list[float]()
        for sample, t, loss in zip(samples, timesteps, losses, strict=True):
            m = before[t]
            strengths.append(math.exp(-5 * abs(1.25 * loss - m) / m) if m > 0 else 0.0)
            visits[sample] += 1
            if 1.25 * loss < m:
                skips[sample] += 1
            if 1.25 * loss >= m or not config.agc.enabled:
                queue.append(sample)
            bank[t] = 0.8 * bank[t] + 0.2 * loss
            loss_sum += loss
        if len(queue) >= BATCH:
            asked.append((queue[:BATCH], int(5 * sum(strengths) / BATCH) if config.taa.enabled else None))
            lost += len(queue) - BATCH
            queue = []
    lost += len(queue)

    assert len(toy.scored) == 25
    assert given.asked == asked
    assert [samples for samples, _ in toy.trained] == [samples for samples, _ in asked]
    assert (slot.visits.tolist(), slot.skips.tolist()) == (visits, skips)
    assert slot.bank.level.tolist() == pytest.approx(bank, rel=1e-5)
    assert float(slot.loss_sum) == pytest.approx(loss_sum, rel=1e-5)
    assert (slot.batches, slot.step) == (25, len(asked))
    assert (int(slot.lost), slot.queued.tolist()) == (lost, [])
    assert int(slot.augmented) == (BATCH * len(asked) if config.taa.enabled else 0)
    assert sum(visits) == (sum(skips) if config.agc.enabled else 0) + lost + BATCH * len(asked)
    if config.agc.enabled:
        assert sum(skips) > 10
        assert lost > 3
        assert len(asked) < 25
    else:
        assert (lost, len(asked)) == (0, 25), "nothing is dropped, so every batch trains"
    if not settings:
        assert len({magnitude for _, magnitude in asked}) > 1


def test_what_trains_has_another_timestep_and_all_its_gradient() -> None:
    """The gradient of a mean over all four is 2 w sum(i + 1) / 48; Adam's first moment of one step is a tenth of it."""
    config = config_of(*ROUND, "train.grad_clip=1000")
    toy, _, slot = trained(config, 1)
    samples, timesteps = toy.trained[0]
    assert timesteps != toy.scored[0][1]
    moment = slot.optimizer_state()["exp_avg.weight"].item()
    assert moment == pytest.approx(0.1 * 2 * sum(i + 1 for i in samples) / (SAMPLES * BATCH), rel=1e-5)


def test_schedule_optimizer_and_average_count_optimizer_steps() -> None:
    config = config_of(*ROUND, "train.warmup_steps=100", "train.ema_warmup=true")
    toy, _, slot = trained(config, 25)
    steps = len(toy.trained)
    assert steps < 25
    assert slot.optimizer.param_groups[0]["lr"] == pytest.approx(0.01 * steps / 100)
    assert slot.optimizer.state[slot.parameters[0]]["step"].item() == steps
    assert slot.ema.optimization_step == steps, "diffusers counts on from what it was set to before the step"


def test_a_warm_up_is_told_in_steps_too() -> None:
    config = resolve("tiny", settings=("train.learning_rate=1", "train.warmup_steps=4"))
    assert [learning_rate(config, step, 5, 20) for step in (0, 1, 3, 4, 9)] == [0.25, 0.5, 1.0, 1.0, 1.0]


def test_a_queue_goes_on_from_its_snapshot() -> None:
    """Stopped where three samples wait: restored elsewhere, all that follows is the same to the bit."""
    config = config_of(*ROUND)
    for stop in range(1, 25):
        toy, _, slot = trained(config, stop)
        if len(slot.queued) == 3:
            break
    assert len(slot.queued) == 3
    other = slot_of(config)
    other.restore(slot.snapshot(), stop)
    assert (other.batches, other.step, other.queued.tolist()) == (stop, slot.step, slot.queued.tolist())
    assert int(other.lost) == int(slot.lost)
    toy = Toy()
    trainer = QueueTrainer(config, toy, 0, other, ToyBatches(Order(config, 0, SAMPLES)))  # type: ignore[arg-type]
    for _ in range(stop, 25):
        trainer.update()
    _, _, whole = trained(config, 25)
    assert {n: t.tolist() for n, t in other.snapshot().items()} == {n: t.tolist() for n, t in whole.snapshot().items()}


def test_samples_taken_again_are_of_the_strength_asked_for_and_any_flip_number_and_caption() -> None:
    """Three samples, two variants of each of six magnitudes, mirrored or not: 26 rows a sample, its number in it."""
    config = config_of("train.horizontal_flip=true", "train.caption_dropout=0.25", "encode.variants=2")
    rows = torch.arange(3 * 26, dtype=torch.float32)[:, None]
    shard = EncodedShard(
        latents=HeldRows(lambda numbers: rows[torch.from_numpy(numbers)], rows[:, 0].long().numpy(), CPU),
        texts=HeldRows(lambda numbers: torch.from_numpy(numbers)[:, None], torch.arange(5).numpy(), CPU),
        condition=torch.tensor([[0, 0] + [1] * 24] * 3),
        caption_start=torch.tensor([0, 1, 3, 4]),
        caption_text=torch.tensor([1, 2, 3, 4]),
        variant_text=torch.zeros(3, 0, 2, dtype=torch.int64),
    )
    batches = EncodedBatches(config, 0, Order(config, 0, 3), shard, None, CPU)  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(0)
    for magnitude in (None, *range(6)):
        positions = torch.tensor([0, 1, 2] * 100)
        picked = batches.again(positions, magnitude, generator)
        variants = picked.moments[:, 0].long() - 26 * positions
        first, count = (0, 2) if magnitude is None else (2 + 4 * magnitude, 4)
        assert set(variants.tolist()) == set(range(first, first + count))
        assert set(picked.condition.tolist()) == {0 if magnitude is None else 1}
        texts = [set(picked.text[positions == i, 0].tolist()) for i in range(3)]
        assert texts == [{0, 1}, {0, 2, 3}, {0, 4}], "captions stay, or are left out"
        assert 0.15 < (picked.text == 0).float().mean() < 0.35


def begun(root: Path, name: str, config: RunConfig) -> Run:
    run = Run.at(str(root), name)
    plan(run, config)
    run_step("prepare", run)
    for part in range(config.encodings):
        run_step("encode", run, None, part)
    for step in ("initialize", "shard"):
        run_step(step, run)
    return run


WHOLE = ("train.batch_size=8", "iet.local_epochs=5", "encode.variants=1", "report.preview=0")


def test_a_queue_killed_in_the_middle_of_a_round_ends_with_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(anti_gradient, "DECAY", 0.1)  # a bank that fills within five visits of a timestep
    config = config_of(*WHOLE, "agc.skip_ratio=1.001", "taa.augment_below=1.1")
    run = begun(tmp_path, "a", config)
    update = QueueTrainer.update
    waiting: list[int] = []

    def stopped(trainer: QueueTrainer) -> None:
        update(trainer)
        slot = trainer._slot
        if slot.batches > 15 and len(slot.queued) and not waiting:
            waiting.append(len(slot.queued))
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(QueueTrainer, "update", stopped)
    with pytest.raises(Stopped) as told:
        run_step("train", run, 0, 0)
    assert told.value.status == TERMINATED
    assert waiting, "samples were in the queue"
    resumed = run_step("train", run, 0, 0)
    streamed = config.execution.model_copy(update={"hold_images": "stream"})  # and read ahead, which changes nothing
    whole = run_step("train", begun(tmp_path, "b", config.model_copy(update={"execution": streamed})), 0, 0)
    assert isinstance(resumed, ProxyRecord)
    assert isinstance(whole, ProxyRecord)
    assert {n: r.sha256 for n, r in resumed.objects.items()} == {n: r.sha256 for n, r in whole.objects.items()}
    assert resumed.figures == whole.figures
    assert (whole.figures.visits, whole.global_step) == (30 * 8, whole.figures.steps)
    assert whole.figures.lost > 0
    assert whole.figures.visits == whole.figures.skips + whole.figures.lost + 8 * whole.figures.steps

"""The training step against the method written out sample by sample."""

import signal
import threading
from collections import defaultdict
from itertools import count
from pathlib import Path

import pytest
import torch

from tests.runs import finish, tiny
from unecho.components.config import RunConfig
from unecho.components.config.counts import steps_per_round
from unecho.components.diffusion.pixels import Pixels
from unecho.components.failure import TERMINATED, Fatal, Stopped
from unecho.components.plan.step import plan
from unecho.components.progress import Silent
from unecho.components.run import Assignment, ModelRecord, ProxyRecord, RoundFigures, Run
from unecho.components.run.checkpoints import Checkpoints
from unecho.components.run.tensors import load_state
from unecho.components.steps import run_step
from unecho.components.train.held import HeldRows
from unecho.components.train.order import Order
from unecho.components.train.update import Trainer, learning_rate

FIGURES = RoundFigures(round=0, visits=1, skips=0, augmented=0, steps=1, loss=0.5)


class Spy:
    """Records what every training step saw, in the order of the steps."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.steps: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]] = []
        take, losses = HeldRows.take, Pixels.losses
        positions: list[torch.Tensor] = []

        def spied_take(images: HeldRows, asked: torch.Tensor) -> torch.Tensor:
            positions.append(asked.clone())
            return take(images, asked)

        def spied_losses(family, network, batch, t, noise):
            loss = losses(family, network, batch, t, noise)
            self.steps.append((positions[-1], batch.condition.clone(), t.clone(), loss.detach().clone()))
            return loss

        patch.setattr(HeldRows, "take", spied_take)
        patch.setattr(Pixels, "losses", spied_losses)


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, RunConfig, Spy]:
    patch = pytest.MonkeyPatch()
    spy = Spy(patch)
    run = Run.at(str(tmp_path_factory.mktemp("watched")), "a")
    config = tiny("iet.local_epochs=8", "agc.skip_ratio=1.2", "taa.augment_below=0.9", "noise.timesteps=10")
    finish(run, config)
    patch.undo()
    return run, config, spy


def test_taa_augments_exactly_the_samples_flagged_at_their_last_visit_also_across_rounds(
    watched: tuple[Run, RunConfig, Spy],
) -> None:
    run, config, spy = watched
    flagged: dict[int, bool] = defaultdict(bool)
    bank = {k: [0.0] * config.noise.timesteps for k in range(2)}
    visits: dict[tuple[int, int], int] = defaultdict(int)
    skips: dict[tuple[int, int], int] = defaultdict(int)
    augmented, across = 0, 0
    steps = iter(spy.steps)
    for round in range(3):
        shard = load_state(run.store, run.load(Assignment, round).objects["assignment.safetensors"])["shard"]
        seen_this_round: set[int] = set()
        for k in range(2):
            rows = torch.nonzero(shard == k).flatten()
            for _ in range(steps_per_round(config, len(rows))):
                positions, condition, t, loss = next(steps)
                before = list(bank[k])
                for row, c, t_i, loss_i in zip(
                    rows[positions].tolist(), condition.tolist(), t.tolist(), loss.tolist(), strict=True
                ):
                    assert (c > 0) == flagged[row]
                    augmented += c > 0
                    across += c > 0 and round > 0 and row not in seen_this_round
                    seen_this_round.add(row)
                    visits[round, row] += 1
                    skips[round, row] += loss_i * 1.2 < before[t_i]
                    flagged[row] = loss_i < 0.9 * before[t_i]
                    bank[k][t_i] = 0.8 * bank[k][t_i] + 0.2 * loss_i
            saved = load_state(run.store, run.load(ProxyRecord, round, k).objects["statistics.safetensors"])
            assert saved["visits"].tolist() == [visits[round, row] for row in saved["sample"].tolist()]
            assert saved["skips"].tolist() == [skips[round, row] for row in saved["sample"].tolist()]
            assert saved["augment_next"].tolist() == [flagged[row] for row in saved["sample"].tolist()]
    assert next(steps, None) is None
    assert augmented > 100
    assert across > 10, "some first visits of a round were augmented for what happened in the round before"
    assert sum(skips.values()) > 100


def test_an_epoch_visits_every_sample_once(watched: tuple[Run, RunConfig, Spy]) -> None:
    _, _, spy = watched
    per_epoch = 48 // 16
    first_epoch = torch.cat([positions for positions, *_ in spy.steps[:per_epoch]])
    assert sorted(first_epoch.tolist()) == list(range(48))
    second_epoch = torch.cat([positions for positions, *_ in spy.steps[per_epoch : 2 * per_epoch]])
    assert sorted(second_epoch.tolist()) == list(range(48))
    assert first_epoch.tolist() != second_epoch.tolist()


def test_with_agc_off_would_be_skips_are_counted_and_no_gradient_is_dropped(tmp_path: Path) -> None:
    """Counting alone changes nothing: the weights are those of a run without any part."""
    counted, plain = Run.at(str(tmp_path), "counted"), Run.at(str(tmp_path), "plain")
    off = ("msr.enabled=false", "taa.enabled=false", "agc.enabled=false", "iet.local_epochs=6")
    finish(plain, tiny(*off))
    # MSR keeps the bank; it moves nothing before its first round
    finish(counted, tiny(*off[1:], "agc.skip_ratio=1.05", "msr.start_round=9"))
    for name in ("raw.safetensors", "ema.safetensors"):
        digests = {run.load(ModelRecord, 3).objects[name].sha256 for run in (counted, plain)}
        assert len(digests) == 1
    figures = counted.load(ModelRecord, 3).figures
    assert figures is not None
    assert figures.skips > 0
    plain_figures = plain.load(ModelRecord, 3).figures
    assert plain_figures is not None
    assert plain_figures.skips == 0


def test_a_loss_that_is_not_a_number_stops_with_the_place_and_leaves_no_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, losses = Run.at(str(tmp_path), "diverged"), Pixels.losses

    calls = count()

    def diverging(family, network, batch, t, noise):
        return losses(family, network, batch, t, noise) * (float("inf") if next(calls) == 4 else 1)

    monkeypatch.setattr(Pixels, "losses", diverging)
    monkeypatch.setattr(Checkpoints, "due", lambda checkpoints: checkpoints.wait() is None)  # after every step
    with pytest.raises(
        Fatal, match=r"round 0 shard 0: the loss is not a number by step \d+: lower train.learning_rate"
    ):
        finish(run, tiny())
    assert run.find(ProxyRecord, 0, 0) is None
    steps = [stat.key.split("/")[-2] for stat in run.store.list("runs/diverged/checkpoints/") if ".json" in stat.key]
    assert steps == ["0000000003", "0000000004"], "nothing is kept of what came after"


def test_order_is_a_function_of_seed_shard_and_step(tmp_path: Path) -> None:
    config = tiny()
    order = Order(config, shard=1, samples=48)
    assert order.steps_per_epoch == 3
    assert torch.equal(order.permutation(5), Order(config, 1, 48).permutation(5))
    assert not torch.equal(order.permutation(5), order.permutation(6))
    assert not torch.equal(order.permutation(5), Order(config, 0, 48).permutation(5))
    permutation = order.permutation(2)
    # step 7 is the second of epoch 2
    assert torch.equal(order.positions(permutation, 7), permutation[16:32])


@pytest.mark.parametrize("local_steps", [2, 3, 4, 5, 7])
def test_a_round_that_ends_inside_an_epoch_is_followed_by_a_new_epoch_of_the_new_shard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, local_steps: int
) -> None:
    """In a round of s steps a sample is seen floor(s/3) or ceil(s/3) times, an epoch being 3 batches."""
    spy, run = Spy(monkeypatch), Run.at(str(tmp_path), "a")
    config = tiny(f"iet.local_steps={local_steps}", "agc.skip_ratio=1.02", "noise.timesteps=5")
    finish(run, config)
    assert run.load(Assignment, 1).moved + run.load(Assignment, 2).moved > 0
    steps = iter(spy.steps)
    orders = set()
    for round in range(3):
        for k in range(2):
            seen = torch.cat([next(steps)[0] for _ in range(local_steps)])
            visits = torch.bincount(seen, minlength=48)
            assert set(visits.tolist()) <= {local_steps // 3, -(-local_steps // 3)}
            for first in range(0, len(seen), 48):
                assert len(set(seen[first : first + 48].tolist())) == len(seen[first : first + 48])
                orders.add((first, tuple(seen[first : first + 16].tolist())))
            saved = load_state(run.store, run.load(ProxyRecord, round, k).objects["statistics.safetensors"])
            assert saved["visits"].tolist() == visits.tolist()
    assert len(orders) == 3 * 2 * -(-local_steps // 3), "no order is drawn twice"


def test_epochs_count_on_over_rounds_and_end_where_the_round_ends() -> None:
    order = Order(tiny("iet.local_steps=7"), shard=0, samples=48)  # 3 batches an epoch
    assert [order.epoch(step) for step in range(14)] == [0, 0, 0, 1, 1, 1, 2, 3, 3, 3, 4, 4, 4, 5]
    assert [order.end(step) for step in range(14)] == [3, 3, 3, 6, 6, 6, 7, 10, 10, 10, 13, 13, 13, 14]
    permutation = order.permutation(3)
    assert torch.equal(order.positions(permutation, 8), permutation[16:32])


def test_without_drop_last_the_last_batch_is_what_is_left() -> None:
    config = tiny("train.drop_last=false")
    order = Order(config, 0, 40)
    assert order.steps_per_epoch == 3
    assert len(order.positions(order.permutation(0), 2)) == 8
    assert Order(tiny(), 0, 40).steps_per_epoch == 2


@pytest.mark.parametrize(
    ("step", "rate"),
    [(0, 0.1), (4, 0.5), (9, 1.0), (10, 1.0), (15, 0.5), (20, 0.0)],
)
def test_learning_rate_warms_up_linearly_then_falls_as_a_cosine(step: int, rate: float) -> None:
    config = tiny("train.learning_rate=1", "train.warmup_epochs=2", "train.decay=cosine")
    assert learning_rate(config, step, steps_per_epoch=5, planned_steps=20) == pytest.approx(rate)


def test_a_checkpoint_that_does_not_read_well_gives_way_to_the_one_before(tmp_path: Path) -> None:
    run = Run.at(str(tmp_path), "a")
    with Checkpoints(run, 0, 0, every_s=1) as checkpoints:
        for step in (1, 2, 3):
            checkpoints.write(step, {"x": torch.tensor([float(step)])}, FIGURES)
    keys = [stat.key for stat in run.store.list("runs/a/checkpoints/") if stat.key.endswith(".safetensors")]
    assert [key.split("/")[-3] for key in keys] == ["0000000002", "0000000003"], "two are kept"
    run.store.put(keys[-1], b"spoilt")
    told: list[str] = []
    with Checkpoints(run, 0, 0, every_s=1) as checkpoints:
        newest = checkpoints.newest(told.append)
    assert newest is not None
    assert newest[0] == 2
    assert newest[1]["x"].item() == 2
    assert keys[-1] in told[0]


def test_sigterm_in_the_middle_of_training_checkpoints_and_says_143(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, config = Run.at(str(tmp_path), "a"), tiny("iet.local_epochs=40")
    plan(run, config)
    for name in ("prepare", "initialize", "shard"):
        run_step(name, run)

    update = Trainer.update

    def asked(trainer: Trainer) -> None:
        if trainer._slot.step == 50:
            signal.raise_signal(signal.SIGTERM)
        update(trainer)

    monkeypatch.setattr(Trainer, "update", asked)
    assert threading.current_thread() is threading.main_thread()
    with pytest.raises(Stopped) as stopped:
        run_step("train", run, 0, 0)
    monkeypatch.undo()
    assert stopped.value.status == TERMINATED
    assert [stat for stat in run.store.list("runs/a/checkpoints/0/0/") if stat.key.endswith("checkpoint.json")]
    assert run.find(ProxyRecord, 0, 0) is None
    notes: list[str] = []

    class Listens(Silent):
        def note(self, text: str) -> None:
            notes.append(text)

    resumed = run_step("train", run, 0, 0, Listens())
    assert notes[0].startswith("round 0 shard 0: goes on from step 51 of 120")
    other = Run.at(str(tmp_path), "b")
    plan(other, config)
    for name in ("prepare", "initialize", "shard"):
        run_step(name, other)
    whole = run_step("train", other, 0, 0)
    assert {n: r.sha256 for n, r in resumed.objects.items()} == {n: r.sha256 for n, r in whole.objects.items()}

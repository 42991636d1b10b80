"""When samples move, and by which rounds' counts."""

from pathlib import Path

import pytest
import torch

from tests.runs import tiny
from unecho.components.plan.step import plan
from unecho.components.run import Assignment, ProxyRecord, RoundFigures, Run
from unecho.components.run.tensors import load_state, state_bytes
from unecho.components.steps import run_step

VISITS = 10
FIGURES = RoundFigures(round=0, visits=1, skips=0, augmented=0, steps=1, loss=0.5)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """One sample of the 96 moves, after every other round."""
    run = Run.at(str(tmp_path), "a")
    plan(run, tiny("msr.every=2", "msr.redistribute_fraction=0.01", "msr.destination=ring", "iet.rounds=5"))
    run_step("prepare", run)
    run_step("shard", run)
    return run


def shards(run: Run, round: int) -> torch.Tensor:
    return load_state(run.store, run.load(Assignment, round).objects["assignment.safetensors"])["shard"]


def ended(run: Run, round: int, skips: dict[int, int]) -> int:
    """A round in which these rows were skipped so often, each row being visited ten times; how many moved after it."""
    for k in range(2):
        rows = torch.nonzero(shards(run, round) == k).flatten()
        statistics = {
            "sample": rows,
            "visits": torch.full((len(rows),), VISITS, dtype=torch.int32),
            "skips": torch.tensor([skips.get(row, 0) for row in rows.tolist()], dtype=torch.int32),
            "augment_next": torch.zeros(len(rows), dtype=torch.bool),
        }
        name = "statistics.safetensors"
        objects = {name: run.put(ProxyRecord, (round, k), name, state_bytes(statistics))}
        record = ProxyRecord(round=round, shard=k, samples=48, global_step=1, figures=FIGURES, objects=objects)
        run.commit(record, round, k)
    record = run_step("redistribute", run, round)
    assert isinstance(record, Assignment)
    return record.moved


def test_samples_move_after_every_other_round_by_the_counts_since_they_last_moved(run: Run) -> None:
    first = shards(run, 0)
    a, b, c = torch.nonzero(first == 0).flatten()[:3].tolist()
    assert ended(run, 0, {c: 5}) == 2, "one leaves, and one makes room"
    assert shards(run, 1)[c] == 1

    assert ended(run, 1, {a: 10}) == 0, "the next round moves nothing"
    # a: 10 of 20, b: 6 of 20; c's count of round 0 has done its work, and b leads in round 2 alone
    assert ended(run, 2, {b: 6}) == 2
    assert (shards(run, 3)[a], shards(run, 3)[b]) == (1, 0)

    assert ended(run, 3, {b: 1}) == 0
    assert ended(run, 4, {a: 0}) == 2, "what was skipped in the round between counts"
    assert shards(run, 5)[b] == 1


def test_rounds_are_counted_from_the_first_one_that_moves(tmp_path: Path) -> None:
    run = Run.at(str(tmp_path), "a")
    plan(run, tiny("msr.every=3", "msr.start_round=1", "iet.rounds=6"))
    run_step("prepare", run)
    run_step("shard", run)
    moved = [ended(run, round, {row: row % 7 for row in range(160)}) > 0 for round in range(6)]
    assert moved == [False, True, False, False, True, False]

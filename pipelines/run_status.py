"""How a run stands, told from its records and checkpoints alone."""

import statistics
import time
from dataclasses import dataclass, field
from datetime import datetime

from ..components.config import RunConfig
from ..components.config.counts import steps_per_round
from ..components.failure import Fatal
from ..components.run import (
    Assignment,
    BeginRecord,
    Look,
    ModelRecord,
    Plan,
    ProxyRecord,
    RanWith,
    RoundFigures,
    Run,
    SamplesRecord,
    WatchRecord,
)
from ..components.run.checkpoints import Checkpoint, checkpoint_manifests
from ..components.run.failures import Failure, failures
from ..components.run.state import State, state_of
from ..components.steps import STEPS, committed


@dataclass(frozen=True)
class EndedRound:
    """A round that has ended.

    Attributes:
        moved: samples that changed their shard after it.
        seconds: from its begin to its model.
        look: of the watch, at the model that it started from.
    """

    figures: RoundFigures
    moved: int
    seconds: float
    look: Look | None = None


@dataclass(frozen=True)
class ShardStatus:
    """A proxy of the round under way.

    Attributes:
        step: optimizer steps of this round that are in the store; `steps`: of the whole round.
        kept: when its newest checkpoint was written, seconds since the epoch.
    """

    index: int
    done: bool
    step: int
    steps: int
    figures: RoundFigures | None = None
    kept: float | None = None


@dataclass(frozen=True)
class RunStatus:
    """How a run stands.

    Attributes:
        started: seconds since the epoch.
        shards: of the round under way; empty when none is.
        parts: of the generated images that are done, of so many.
        left_s: seconds that the rounds will still take; None while nothing is known, and where a step has failed.
        failed: steps that have failed for good and are not done.
    """

    state: State
    config: RunConfig
    started: float
    rounds: list[EndedRound] = field(default_factory=list)
    shards: list[ShardStatus] = field(default_factory=list)
    parts: tuple[int, int] = (0, 0)
    left_s: float | None = None
    failed: list[Failure] = field(default_factory=list)


def run_status(run: Run) -> RunStatus | None:
    """The status of a run; None where it has no plan yet.

    Raises:
        Fatal: the store refuses, or a record cannot be read.
    """
    plan = run.find(Plan, 0)
    if plan is None:
        return None
    keys = {stat.key for stat in run.store.list(f"{run.prefix}/")}
    state, config = state_of(run, keys), run.config()
    rounds = [_ended(run, r) for r in range(state.rounds)]
    begun = run.key(Assignment, state.rounds) in keys  # what has yet to be redistributed has no shards
    training = state.name == "running" and state.rounds < state.planned and begun
    shards = [_shard(run, config, state.rounds, k) for k in range(config.iet.shards)] if training else []
    failed = not_overcome(run, state)
    planned = config.sizes()["parts"]
    model = state.rounds if state.released is None else state.released
    parts = sum(run.key(SamplesRecord, model, part) in keys for part in range(planned))
    return RunStatus(
        state=state,
        config=config,
        started=_time(plan.ran_with),
        rounds=rounds,
        shards=shards,
        parts=(parts, planned),
        left_s=None if failed else _left(run, state, rounds, shards),
        failed=failed,
    )


def not_overcome(run: Run, state: State | None) -> list[Failure]:
    """Failures of steps that are not done since.

    Args:
        state: None for a run without a plan.
    """
    if state and state.name == "done":
        return []
    return [failure for failure in failures(run) if not _overcome(run, failure)]


def _overcome(run: Run, failure: Failure) -> bool:
    """A plan that failed was one that the run has not: what was asked for last stands nowhere else."""
    if failure.step == "plan" or failure.step not in STEPS:
        return False
    try:
        return committed(failure.step, run, None, failure.round, failure.index) is not None
    except Fatal:  # the record cannot be read: that is why
        return False


def _ended(run: Run, round: int) -> EndedRound:
    begin, model = run.load(BeginRecord, round), run.load(ModelRecord, round + 1)
    moved = run.find(Assignment, round + 1)
    assert model.figures is not None
    assert model.ran_with is not None
    seconds = _time(model.ran_with) + model.ran_with.seconds - _time(begin.ran_with)
    watched = run.find(WatchRecord, round)
    return EndedRound(model.figures, moved.moved if moved else 0, seconds, watched.look if watched else None)


def _shard(run: Run, config: RunConfig, round: int, index: int) -> ShardStatus:
    size = run.load(Assignment, round).shard_sizes[index]
    steps = steps_per_round(config, size)
    if proxy := run.find(ProxyRecord, round, index):
        return ShardStatus(index, True, steps, steps, proxy.figures)
    for stat in checkpoint_manifests(run, round, index)[:1]:
        found = Checkpoint.model_validate_json(run.store.get(stat.key))
        return ShardStatus(index, False, found.step - round * steps, steps, found.figures, stat.modified)
    return ShardStatus(index, False, 0, steps)


def _left(run: Run, state: State, rounds: list[EndedRound], shards: list[ShardStatus]) -> float | None:
    """From the rounds that have ended; before that, from how far the first one is."""
    if state.name not in ("planned", "running"):
        return None
    begin = run.find(BeginRecord, state.rounds)
    elapsed = time.time() - _time(begin.ran_with) if begin else 0.0
    if rounds:
        each = statistics.median(round.seconds for round in rounds)
        return max(0.0, (state.planned - state.rounds) * each - min(elapsed, each))
    done = sum(shard.step / shard.steps for shard in shards) / max(1, len(shards))
    return state.planned * elapsed / done - elapsed if done >= 0.05 else None


def _time(ran_with: RanWith | None) -> float:
    assert ran_with is not None
    return datetime.fromisoformat(ran_with.started).timestamp()

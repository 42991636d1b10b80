"""Before a round: may it start, and what can go."""

import time

from ..config import RunConfig
from ..failure import Fatal
from ..progress import Progress
from ..run import Assignment, BeginRecord, ModelRecord, ProxyRecord, Run, ran_with
from ..run.looks import at_floor, looks_before

_WEIGHTS = ("raw.safetensors", "ema.safetensors", "optimizer.safetensors", "bank.safetensors")


def begin(run: Run, round: int, progress: Progress) -> BeginRecord:
    """Decide on round `round`, and retire the weights that no later round reads.

    'stop' when a rule has stopped the run, or when model or assignment `round` is missing because the round
    before failed; the latter is no result and is not committed. The record that lists what is retired stands
    before anything is removed, so a begin that was killed in between ends the work when it is repeated.

    Raises:
        Fatal: a record names weights that are not this run's own; nothing is removed then.
    """
    started = time.time()
    record = run.find(BeginRecord, round)
    if record is None:
        model, assignment = run.find(ModelRecord, round), run.find(Assignment, round)
        if model is None or assignment is None:
            reason = f"{'model' if model is None else 'assignment'} {round} is missing: round {round - 1} has not ended"
            progress.note(f"no round {round}: {reason}")
            return BeginRecord(round=round, decision="stop", reason=reason)
        config = run.config()
        through = -1 if model.stop else max(-1, round - config.execution.keep_rounds)
        kept = _kept(run, config, round)
        decided = BeginRecord(
            round=round,
            decision="stop" if model.stop else "go",
            reason=model.stop,
            retired_through=through,
            kept=kept,
            retired=[] if model.stop else _retired(run, run.find(BeginRecord, round - 1), through, kept),
            ran_with=ran_with(started),
        )
        record = run.commit(decided, round)
    run.store.delete(_own(run, record.retired, run.store.address(run.key(BeginRecord, round))))
    return record


def _own(run: Run, keys: list[str], record: str) -> list[str]:
    """The keys, if each is of an object of the run's own.

    Raises:
        Fatal: one is not: the record was altered, or is another run's.
    """
    for key in keys:
        if not run.owns(key):
            raise Fatal(
                f"{record}: altered: it would have {key or 'an empty key'} removed, which is not of run {run.name}: "
                "nothing was removed"
            )
    return keys


def _kept(run: Run, config: RunConfig, round: int) -> int | None:
    """The model whose weights stay because it may be released."""
    found = looks_before(run, round) if config.release.select == "at_floor" else {}
    return at_floor(found)[0] if found else None


def _retired(run: Run, before: BeginRecord | None, through: int, kept: int | None) -> list[str]:
    """Keys of the weights and the optimizer state of rounds that the begins before have not retired.

    Args:
        before: the last of these begins.
        through: the last round to retire.
        kept: the model that stays; the one that stayed until now goes where this is another.
    """
    keys = []
    done = before.retired_through if before else -1
    if before and before.kept is not None and before.kept <= done and before.kept != kept:
        keys += _weights(run, ModelRecord, before.kept)
    for round in range(done + 1, through + 1):
        if round != kept:
            keys += _weights(run, ModelRecord, round)
        for shard in range(len(run.load(Assignment, round).shard_sizes)):
            keys += _weights(run, ProxyRecord, round, shard)
    return keys


def _weights(run: Run, kind: type[ModelRecord | ProxyRecord], *index: int) -> list[str]:
    """Keys of a record's weights and optimizer state."""
    record = run.find(kind, *index)
    named = [record.objects[name].key for name in _WEIGHTS if name in record.objects] if record else []
    return _own(run, named, run.store.address(run.key(kind, *index)))

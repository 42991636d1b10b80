"""Before a round: may it start, and what can go."""

import time

from ..failure import Fatal
from ..progress import Progress
from ..run import Assignment, BeginRecord, ModelRecord, ProxyRecord, Run, ran_with

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
        through = -1 if model.stop else max(-1, round - run.config().execution.keep_rounds)
        decided = BeginRecord(
            round=round,
            decision="stop" if model.stop else "go",
            reason=model.stop,
            retired_through=through,
            retired=_weights_of(run, range(_retired_before(run, round), through + 1)),
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


def _retired_before(run: Run, round: int) -> int:
    """How many rounds the begins before this one have retired."""
    before = run.find(BeginRecord, round - 1) if round else None
    return before.retired_through + 1 if before else 0


def _weights_of(run: Run, rounds: range) -> list[str]:
    """Keys of the weights and the optimizer state of some rounds' model and proxies."""
    keys = []
    for round in rounds:
        shards = len(run.load(Assignment, round).shard_sizes)
        places = [run.key(ModelRecord, round), *(run.key(ProxyRecord, round, shard) for shard in range(shards))]
        records = [run.find(ModelRecord, round), *(run.find(ProxyRecord, round, shard) for shard in range(shards))]
        for place, record in zip(places, records, strict=True):
            named = [record.objects[name].key for name in _WEIGHTS if name in record.objects] if record else []
            keys += _own(run, named, run.store.address(place))
    return keys

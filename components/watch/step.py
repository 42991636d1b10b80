"""A look at the aggregated model while the next round trains."""

import time
from typing import Final

from ..progress import Progress
from ..run import Look, ModelRecord, Run, WatchRecord, ran_with
from ..run.looks import is_due


def watch(run: Run, round: int, progress: Progress) -> WatchRecord:
    """Commit what a few images of model `round` show, or that it was not to be looked at.

    The floor is the same at every look: the first one keeps what it measured, later ones read it.

    Raises:
        Fatal: the model is missing, its weights or the images are missing or altered; names it.
    """
    if found := run.find(WatchRecord, round):
        return found
    started = time.time()
    plan = run.plan()
    if not is_due(run, plan.config, round):
        return run.commit(WatchRecord(round=round, ran_with=ran_with(started)), round)
    from ..assess.probe import FLOOR, floor_tensors, kept_floor, look_at  # torch, for what is looked at only
    from ..run.tensors import state_bytes

    kept, ref = kept_floor(run, round) or (None, None)
    look, floor = look_at(run, plan, run.load(ModelRecord, round), kept, progress)
    progress.note(_line(round, look))
    if kept is None or ref is None or floor.near is not kept.near:  # measured now
        ref = run.put(WatchRecord, (round,), FLOOR, state_bytes(floor_tensors(floor)))
    return run.commit(WatchRecord(round=round, look=look, objects={FLOOR: ref}, ran_with=ran_with(started)), round)


_WORDS: Final = {"above": "it echoes", "at_or_below": "at the floor", "unclear": "unclear", "undecided": "not judged"}


def _line(round: int, look: Look) -> str:
    beside = "" if look.floor is None else f" (floor {look.floor:.1%})"
    return f"model {round}: {look.speaks} {look.share:.1%} of {look.images} images{beside}: {_WORDS[look.verdict]}"

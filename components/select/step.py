"""Which round's model is sampled, reported and released."""

import time

from ..progress import Progress
from ..run import Run, SelectionRecord, ran_with
from ..run.looks import at_floor, looks_before


def select(run: Run, progress: Progress) -> SelectionRecord:
    """Commit the choice, by rule from the records; the last model is looked at first where the rule goes by looks.

    Raises:
        Fatal: the rounds are not complete, or the last model cannot be looked at; names what is wrong.
    """
    started = time.time()
    plan = run.plan()
    last = run.last_model(plan.config)
    if found := run.find(SelectionRecord, last.round):
        return found
    if plan.config.releases_last:
        chosen, reason, look = last.round, "release.select last", None
    else:
        from ..assess.probe import kept_floor, look_at  # torch, for what is looked at only

        floor, _ = kept_floor(run, last.round) or (None, None)
        look, _ = look_at(run, plan, last, floor, progress)
        chosen, why = at_floor(looks_before(run, last.round) | {last.round: look})
        reason = f"release.select at_floor: {why}"
        progress.note(f"model {chosen} is released: {why}")
    record = SelectionRecord(round=last.round, chosen=chosen, reason=reason, look=look, ran_with=ran_with(started))
    return run.commit(record, last.round)

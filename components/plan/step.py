"""Freeze a run's method, or take up a changed execution."""

import time

from ..config import RunConfig, frozen_difference
from ..config.fields import FILE_FIELDS
from ..failure import Fatal
from ..run import Plan, Run, ran_with
from ..run.base_model import base_digests
from ..run.forgotten import newest_request
from ..run.given_files import changed_file, file_digests


def plan(run: Run, config: RunConfig) -> Plan:
    """Commit the plan, or find that it stands.

    A plan has revisions, each immutable: 0 when the run is first started, a later one when it is
    started again with another execution or with more rounds.

    Raises:
        Fatal: the run exists with another method, or a file that a later step will need is missing; names the field.
    """
    started = time.time()
    base = base_digests(config)
    files = file_digests(config, base)
    if config.evaluate.descriptor is not None:
        from ..assess.instruments import check_descriptor  # torch, for a run that has one only

        check_descriptor(config)
    if config.evaluate.alignment_model is not None:
        from ..assess.alignment import check_alignment  # likewise

        check_alignment(config, files)
    while True:
        before = run.find(Plan, 0) and run.plan()
        forgotten = before.forgotten if before else 0
        if before is None:
            revision = 0
            forgotten = 0 if config.is_audit else newest_request(run.store)
        elif difference := frozen_difference(before.config, config) or _other_file(before, config, files):
            raise Fatal(f"{run.url}: exists with another method: {difference}: take another --name, or the old value")
        elif before.config == config:
            return before
        else:
            revision = before.revision + 1
        wanted = Plan(
            revision=revision, config=config, files=files, base=base, forgotten=forgotten, ran_with=ran_with(started)
        )
        if run.commit(wanted, revision).config == config:
            return wanted
        # somebody else wrote this revision: look at what it says


def _other_file(before: Plan, config: RunConfig, files: dict[str, str]) -> str | None:
    """The first file that is not the one that the plan has frozen, or None."""
    if before.files is not None:
        return changed_file(before.files, files)
    # an older plan knows the files by their places alone
    for field in FILE_FIELDS:
        section, _, name = field.partition(".")
        was, now = (getattr(getattr(c, section), name) for c in (before.config, config))
        if was != now:
            return f"{field}: was {was}, now {now}"
    return None


def later_requests(run: Run, plan: Plan) -> list[str]:
    """What to know of deletion requests that came after the plan: a line, or none."""
    newest = 0 if plan.config.is_audit else newest_request(run.store)
    if newest <= plan.forgotten:
        return []
    later = f"request {newest} is" if newest == plan.forgotten + 1 else f"requests {plan.forgotten + 1} to {newest} are"
    return [
        f"deletion {later} newer than this run's plan and not applied to it: for a model without these samples start "
        f"a run under another name (unecho forget {run.url} says what that costs)"
    ]

"""Freeze a run's method, or take up a changed execution."""

import time

from ..config import RunConfig, frozen_difference
from ..config.fields import FILE_FIELDS
from ..failure import Fatal
from ..run import Plan, Run, ran_with
from ..run.base_model import base_digests
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
        if before is None:
            revision = 0
        elif difference := frozen_difference(before.config, config) or _other_file(before, config, files):
            raise Fatal(f"{run.url}: exists with another method: {difference}: take another --name, or the old value")
        elif before.config == config:
            return before
        else:
            revision = before.revision + 1
        wanted = Plan(revision=revision, config=config, files=files, base=base, ran_with=ran_with(started))
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

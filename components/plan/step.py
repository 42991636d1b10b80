"""Freeze a run's method, or take up a changed execution."""

import time

from ..config import RunConfig, frozen_difference
from ..failure import Fatal
from ..run import Plan, Run, ran_with


def plan(run: Run, config: RunConfig) -> Plan:
    """Commit the plan, or find that it stands.

    A plan has revisions, each immutable: 0 when the run is first started, a later one when it is
    started again with another execution or with more rounds.

    Raises:
        Fatal: the run exists with another method; names the field.
    """
    started = time.time()
    while True:
        before = run.find(Plan, 0) and run.plan()
        if before is None:
            revision = 0
        elif before.config == config:
            return before
        elif difference := frozen_difference(before.config, config):
            raise Fatal(f"{run.url}: exists with another method: {difference}: take another --name, or the old value")
        else:
            revision = before.revision + 1
        wanted = Plan(revision=revision, config=config, ran_with=ran_with(started))
        if run.commit(wanted, revision).config == config:
            return wanted
        # somebody else wrote this revision: look at what it says

"""Freeze a run's method, or take up a changed execution."""

import time

from ..config import RunConfig, frozen_difference
from ..config.fields import FILE_FIELDS, with_its_arithmetic
from ..failure import Fatal
from ..run import Plan, Run, ran_with
from ..run.audited import audited_run
from ..run.base_model import base_digests
from ..run.forgotten import newest_request, requests_through
from ..run.forgotten_base import started_from_forgotten
from ..run.given_files import changed_file, file_digests
from ..run.released_base import released_base, released_objects
from ..store import Store


def plan(run: Run, config: RunConfig) -> Plan:
    """Commit the plan, or find that it stands.

    A plan has revisions, each immutable: 0 when the run is first started, a later one when it is
    started again with another execution or with more rounds.

    Raises:
        Fatal: the run exists with another method, or a file that a later step will need is missing; names the field.
    """
    started = time.time()
    if earlier := run.find(Plan, 0) and run.plan():
        config = with_its_arithmetic(earlier.config, config)
    frozen = frozen_by(run.store, config, _before(run, config))
    files = frozen.files or {}
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
        wanted = frozen.model_copy(update={"revision": revision, "ran_with": ran_with(started)})
        if run.commit(wanted, revision).config == config:
            return wanted
        # somebody else wrote this revision: look at what it says
        frozen = frozen_by(run.store, config, _before(run, config))
        files = frozen.files or {}


def frozen_by(store: Store, config: RunConfig, before: Plan | None = None) -> Plan:
    """What a plan of this configuration says, before anything is written: of files that it names, their digests.

    Args:
        store: at the run's root.
        before: a plan whose released model is gone on with, whatever is released now, and whose deletion requests.

    Raises:
        Fatal: a file that a later step will need is missing; names the field.
    """
    released = released_base(store, config, before)
    objects = released_objects(store, config, released, before) if released else {}
    base = base_digests(config, released, store.url, {path: ref.sha256 for path, ref in objects.items()})
    read = {f"base/{path}": objects[path] for path in base or () if path in objects}
    files = file_digests(config, base)
    forgotten = 0 if config.is_audit else before.forgotten if before else newest_request(store)
    return Plan(
        revision=0,
        config=config,
        files=files,
        base=base,
        released=released,
        forgotten=forgotten,
        objects=read,
        root=store.url,
    )


def _before(run: Run, config: RunConfig) -> Plan | None:
    """The run's own plan; of an audit, that of the run whose model is audited."""
    planned = audited_run(run, config) if config.audit.run is not None else run
    return planned.plan() if planned.find(Plan, 0) else None


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


def notes_on_requests(run: Run, plan: Plan) -> list[str]:
    """What to know of deletion requests: that some came after the plan, and that the model which the run starts from
    was trained on what they ask for; a line each.
    """
    newest = 0 if plan.config.is_audit else newest_request(run.store)
    notes = []
    if newest > plan.forgotten:
        first = plan.forgotten + 1
        later = f"request {newest} is" if newest == first else f"requests {first} to {newest} are"
        notes.append(
            f"deletion {later} newer than this run's plan and not applied to it: for a model without these samples "
            f"start a run under another name (unecho forget {run.url} says what that costs)"
        )
    requests = requests_through(run.store, plan.forgotten) if plan.released else []
    if base := started_from_forgotten(run.store, plan, requests):
        notes.append(
            f"model.pretrained: starts from {base}: no shard of this run sees them, but its start has: train from "
            "scratch, or from a model without them"
        )
    return notes

"""What is released under a name, and what takes its place: promotion, and the way back."""

import getpass
import hashlib
import os
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from ..components.failure import Fatal
from ..components.report.figures import load_figures
from ..components.run import DatasetRecord, Plan, ReportRecord, Run
from ..components.run.records import code_version
from ..components.run.released import Release, ReleasedModel, config_digest
from ..components.store import ObjectRef, Store, locate_object, parsed
from .finished import finished_report
from .gate.result import Gate


class Change(NamedTuple):
    """What is released now.

    Attributes:
        before: what was until then.
        made: False where it was released already.
    """

    release: Release
    before: Release | None
    made: bool


def promote(run: Run, name: str, by: str, gate: str | None = None, replaces: int | None = None) -> Change:
    """Release the model of a finished run under a name.

    Done already, it is not done twice, unless a gate has judged the report since: a job that was killed may be started
    again.

    Args:
        by: who decides, in a line.
        gate: address of the gate's result, a path or s3://bucket/key.
        replaces: number of what may be replaced and nothing else, 0 where nothing may be there. None: what the gate has
            compared with under this name, which may have been replaced since; whatever is there where it has not.

    Raises:
        Fatal: the run has not ended or is an audit, its model is not there, or the gate failed or is of another report.
        Beaten: another was released meanwhile; nothing was changed.
    """
    model = ReleasedModel(run.store, name)
    if run.find(Plan, 0) and run.config().is_audit:
        raise Fatal(f"{run.url}: an audit releases no model: promote the run that trained it")
    report = finished_report(run, "promote")
    judged = _judged(gate, run, report) if gate else None
    if report.model_folder is None:
        raise Fatal(f"{run.url}: its report names no released model: start it anew under another name")
    _check_there(run.store, report.objects, f"{run.url}: its report")
    model.mend()
    before = model.current()
    if before and before.objects == report.objects and (before.gate or judged is None):
        return Change(before, before, made=False)
    if replaces is None and judged and judged.gate.model == model.url:
        replaces = judged.gate.number
    if before and replaces is not None and replaces != before.number:
        raise model.beaten_by(before)
    plan, headline = run.plan(), load_figures(run, report).headline
    release = Release(
        **_decided_now(model, before, by),
        kind="promote",
        run=run.name,
        report=run.last_model(plan.config).round,
        round=report.round,
        folder=report.model_folder,
        dataset=run.load(DatasetRecord).digest,
        config=config_digest(plan),
        verdict=headline.decided,
        smoke=headline.smoke,
        headline=report.headline,
        objects=report.objects,
        gate=judged.sha256 if judged else None,
        policy=judged.gate.policy_sha256 if judged else None,
    )
    return Change(model.append(release), before, made=True)


def roll_back(store: Store, name: str, by: str, to: int | None = None) -> Change:
    """Release what a name stood for before.

    Args:
        by: who decides, in a line.
        to: number in the history; None for what the promotion that stands now has replaced, so that one call after
            another goes further back.

    Raises:
        Fatal: there is nothing to go back to, or its model was removed.
        Beaten: another was released meanwhile; nothing was changed.
    """
    model = ReleasedModel(store, name)
    cut_short = model.is_behind()
    model.mend()
    now = current_of(model)
    if to is None and cut_short and now.kind == "rollback":  # its own earlier call, killed between the two writes
        return Change(now, now, made=False)
    target = _before(model, now) if to is None else _promotion(model, to)
    if target.number == now.promotion:
        return Change(now, now, made=False)
    of = f"{model.url}: number {target.number}"
    if Run(store, target.run).find(Plan, 0) is None:
        of += f", whose run {target.run} was removed,"
    _check_there(store, target.objects, of)
    given = _decided_now(model, now, by)
    release = target.model_copy(update={**given, "kind": "rollback", "restores": target.number})
    return Change(model.append(release), now, made=True)


def said(change: Change) -> str:
    """What is released now, and in whose place, in a line."""
    release, before = change.release, change.before
    if not change.made:
        place = "already released: nothing to do"
    elif before is None:
        place = "the first"
    else:
        place = f"in place of {before.number}, of run {before.run}"
    return f"{release.model} is number {release.number}: {what(release)}, {place}"


def what(release: Release) -> str:
    """Which model it is."""
    back = f", back to {release.restores}" if release.restores is not None else ""
    return f"model {release.round} of run {release.run}{back}"


def current_of(model: ReleasedModel) -> Release:
    """What is released under a name.

    Raises:
        Fatal: nothing is.
    """
    found = model.current()
    if found is None:
        raise Fatal(f"{model.url}: nothing is released under that name: unecho released --root {model.store.url}")
    return found


_ACTORS: Final = ("GITHUB_ACTOR", "GITLAB_USER_LOGIN")


def whoever(given: str | None, environment: Mapping[str, str] = os.environ) -> str:
    """Who decides: as given, as the CI system says, or the user who is logged in.

    Raises:
        Fatal: what was given is no name in one line.
    """
    if given is not None:
        if not given.strip() or not given.isprintable() or len(given) > _LONGEST_NAME:
            raise Fatal(f"--by: '{given[:40]}': a name in one line of at most {_LONGEST_NAME} letters")
        return given.strip()
    if actor := next((environment[name] for name in _ACTORS if environment.get(name, "").strip()), None):
        return actor.strip()
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user has no name
        return f"user {os.getuid()}"


_LONGEST_NAME: Final = 100


def _before(model: ReleasedModel, now: Release) -> Release:
    """The promotion of another model that stood before."""
    earlier = model.load(now.promotion)
    while earlier.objects == now.objects:
        if earlier.replaces is None:
            raise Fatal(f"{model.url}: number {earlier.number} is the first: there is nothing before it to go back to")
        earlier = _promotion(model, earlier.replaces)
    return earlier


def _promotion(model: ReleasedModel, number: int) -> Release:
    """The promotion of that number, or the one that the rollback of that number went back to."""
    return model.load(model.load(number).promotion)


def _decided_now(model: ReleasedModel, before: Release | None, by: str) -> dict[str, Any]:
    """What is new in every record."""
    return {
        "model": model.name,
        "number": before.number + 1 if before else 1,
        "by": by,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "code": code_version(),
        "attempt": secrets.token_hex(4),
        "replaces": before.number if before else None,
    }


class _Judged(NamedTuple):
    """A gate's result, and the SHA-256 of its file."""

    gate: Gate
    sha256: str


def _judged(address: str, run: Run, report: ReportRecord) -> _Judged:
    """The result of a gate that lets this report pass.

    Raises:
        Fatal: it does not, or it is no such result.
    """
    store, key = locate_object(address)
    data = store.find(key)
    if data is None:
        raise Fatal(f"--gate: {address}: no such file: unecho gate {run.url} writes gate.json")
    gate = parsed(store, key, data, Gate)
    if not gate.passed or gate.failed:
        raise Fatal(f"--gate: {address}: the gate was not passed: {run.url} is not promoted")
    if gate.report_sha256 != report.objects["report.json"].sha256:
        raise Fatal(
            f"--gate: {address}: of another report than that of {run.url}: unecho gate {run.url} judges this one"
        )
    return _Judged(gate, hashlib.sha256(data).hexdigest())


def _check_there(store: Store, objects: Mapping[str, ObjectRef], of: str) -> None:
    """Whether everything that would be released is there, as long as it was.

    Raises:
        Fatal: an object is not; names it.
    """
    for ref in objects.values():
        found = store.stat(ref.key)
        if found is None or found.size != ref.size:
            state = f"truncated ({found.size} of {ref.size} bytes)" if found else "missing"
            raise Fatal(f"{of} names {store.address(ref.key)}, which is {state}: it cannot be released")

"""What is audited: which of three kinds of subject it is, and the configuration that follows from it.

The same for the command line and for Kubeflow's form.
"""

import hashlib
import re
from pathlib import Path
from typing import Any, Final

from ..config import RunConfig
from ..config.fields import DECIDING, flat_fields
from ..config.resolve import check, given_fields, merge, resolve
from ..diffusion.base_folder import INDEX, RANDOM_TINY
from ..failure import Fatal
from ..store import Store, local_path, open_store
from .address import NAME, Run
from .base_model import given_pipeline
from .hub import HUB_NAME
from .records import Plan
from .state import state_of

_OF_A_RUN: Final = ("sample", "evaluate", "report", "execution", "seed")
"""What an audit of a run may change: how it is sampled and measured. The rest is how it was trained."""
_STEPS: Final = {"unconditional": 1000, "text": 50}
"""Denoising steps where none are given, by the kind of pipeline."""
_BATCH_OF_TEXT: Final = 8
"""Images of a text-to-image model that fit most GPUs at once."""


def audit_config(
    store: Store,
    subject: str,
    data: str | None = None,
    held_out: str | None = None,
    prompts: str | None = None,
    file: Path | None = None,
    settings: tuple[str, ...] = (),
    overrides: dict[str, Any] | None = None,
) -> RunConfig:
    """The configuration of an audit.

    Args:
        store: at the root where the audit is kept, and a run that is audited.
        subject: a run (ROOT/runs/NAME) that is planned; a diffusers folder: a directory, s3://bucket/prefix or a hub's
            OWNER/NAME; or images, whatever else data.source can be.
        data: what the model was trained on; a run has its own.
        held_out: real images that it was not trained on.
        prompts: "training", "held_out", or a file of prompts, for a text-to-image model.
        file, settings, overrides: further fields, see `resolve`.

    Raises:
        Fatal: there is no such subject, data is missing, or a field may not be given; names it.
    """
    if not subject.strip():
        raise Fatal("audit: '': names no run, model or images")
    asked = _prompts(prompts)
    if run := _run_at(subject):
        for field, value in (("data.source", data), ("audit.held_out", held_out)):
            if value:
                raise Fatal(f"{field}: {value}: an audit of a run compares with the run's own images: leave it out")
        return _of_run(store, run, merge(asked, given_fields(file, settings, overrides)))
    kind = "model" if _is_model(subject) else "images"
    if not data:
        raise Fatal(
            f"data.source: an audit of {subject} needs the images that the model was trained on: name them (--data)"
        )
    named = {"audit": {kind: subject} | ({"held_out": held_out} if held_out else {}), "data": {"source": data}}
    return _of_subject(merge(merge(overrides or {}, named), asked), file, settings)


def audit_name(config: RunConfig) -> str:
    """A name for an audit, the same for the same one: of its subject, and of all that its result depends on."""
    subject = config.audit.subject or ""
    plain = re.sub(r"[^a-z0-9]+", "-", subject.rstrip("/").rpartition("/")[2].lower()).strip("-")[:32].strip("-")
    digest = hashlib.sha256(config.method().model_dump_json().encode()).hexdigest()[:6]
    return "-".join(part for part in ("audit", plain, digest) if part)


def root_of(subject: str) -> str | None:
    """The root of a run that is audited, where its audit is kept; None for another subject."""
    run = _run_at(subject)
    return run.store.url if run else None


def audited_run(run: Run, config: RunConfig) -> Run:
    """The run whose model is audited: it lies at the same root."""
    assert config.audit.run is not None
    return Run(run.store, config.audit.run.rstrip("/").rpartition("/")[2])


def _prompts(prompts: str | None) -> dict[str, Any]:
    if not prompts:
        return {}
    named = prompts in ("training", "held_out")
    return {"sample": {"prompts": prompts} if named else {"prompts": "file", "prompts_file": prompts}}


def _run_at(subject: str) -> Run | None:
    """The run at an address that has a run's form, if it has a plan."""
    root, mark, name = subject.rstrip("/").rpartition("runs/")
    if not mark or (root and not root.endswith("/")) or root == "/" or not NAME.fullmatch(name):
        return None
    run = Run.parse(subject)
    return run if run.find(Plan, 0) else None


def _is_model(subject: str) -> bool:
    """Whether it is a diffusers folder, or the name of a hub's; else it is a source of images.

    Raises:
        Fatal: nothing is there.
    """
    if subject in (RANDOM_TINY, "digits"):
        return subject == RANDOM_TINY
    if "://" not in subject and not local_path(subject).exists():
        if HUB_NAME.fullmatch(subject):
            return True
        raise Fatal(f"audit: {subject}: no such run, directory or prefix, and no name of a hub's repository")
    return open_store(subject).stat(INDEX) is not None


def _of_run(store: Store, run: Run, given: dict[str, Any]) -> RunConfig:
    """A trained run's own configuration, sampled and measured as is asked for."""
    config = run.config()
    if config.is_audit:
        raise Fatal(f"audit.run: {run.url}: is an audit itself: give what it audits, {config.audit.subject}")
    if run.store.url != store.url:
        raise Fatal(f"audit.run: {run.url}: lies at another root than {store.url}, where the audit is kept")
    state = state_of(run)
    if state.released is None:
        raise Fatal(f"audit.run: {run.url}: not finished ({state}): start it again, then audit")
    for field, value in flat_fields(given).items():
        if field.partition(".")[0] not in _OF_A_RUN:
            raise Fatal(
                f"{field}: {value}: an audit of a run may change {', '.join(_OF_A_RUN)} and nothing else: leave it out"
            )
    own = config.model_dump(mode="json")
    if given.get("evaluate", {}).get("descriptor") and config.evaluate.deciding == DECIDING:
        del own["evaluate"]["deciding"]  # nothing was said about it, so what a descriptor adds is added
    tree = merge(own, given)
    return check(tree | {"audit": {"run": run.url}})


def _of_subject(overrides: dict[str, Any], file: Path | None, settings: tuple[str, ...]) -> RunConfig:
    """A configuration from the fields' defaults, which are an audit's where training has others."""
    given = given_fields(file, settings, overrides)
    of_data = given.get("data", {})
    if "held_out" not in of_data:
        overrides = merge(overrides, {"data": {"held_out": 0.0}})
    config = resolve(None, given.get("variant") or "default", file, settings, overrides)
    if config.audit.held_out is not None and (config.data.held_out or config.data.official_test):
        raise Fatal(
            f"audit.held_out: {config.audit.held_out} beside data.held_out {config.data.held_out:g}: held-out images "
            "are split off the data, or they are given: leave one of the two out"
        )
    if config.audit.model is None:
        return config
    return _with_sampling(config)


def _with_sampling(config: RunConfig) -> RunConfig:
    """How a given pipeline is sampled where that was not said: as its folder says."""
    pipeline, timesteps = given_pipeline(config)
    prompted = pipeline.kind == "text"
    if not prompted and config.sample.prompts != "training":
        raise Fatal(f"sample.prompts: {config.sample.prompts}: a {pipeline.name} takes no prompts: leave it out")
    if not prompted and (aligned := config.evaluate.alignment_model) is not None:
        raise Fatal(f"evaluate.alignment_model: {aligned}: a {pipeline.name} takes no prompts: leave it out")
    own = {"sampler": "base", "steps": min(_STEPS[pipeline.kind], timesteps)}
    own |= {"batch_size": _BATCH_OF_TEXT} if prompted else {}
    sample = {name: value for name, value in own.items() if name not in config.sample.model_fields_set}
    return check(merge(config.model_dump(mode="json"), {"sample": sample}))

"""Model 0: one seeded network, or a pretrained one; of an audit, what it is and nothing that would be copied."""

import json
import time
from typing import Any

from ..diffusion import given_of, trainable_family_of
from ..diffusion.device import set_numerics
from ..failure import Fatal
from ..progress import Progress
from ..run import DatasetRecord, ModelRecord, Plan, Run, ran_with
from ..run.audited import audited_run
from ..run.base_model import pretrained_of
from ..run.tensors import state_bytes
from ..store import ObjectRef


def initialize(run: Run, progress: Progress) -> ModelRecord:
    """Commit model 0; its moving average equals its weights.

    Raises:
        Fatal: the pretrained folder is missing, or holds a network of another shape; or what is audited cannot be.
    """
    if found := run.find(ModelRecord, 0):
        return found
    started = time.time()
    plan = run.plan()
    set_numerics(plan.config)
    if plan.config.audit.run is not None:
        objects = _of_run(run, plan)
    elif plan.config.is_audit:
        objects = _written(run, {"network.json": _description(run, plan)})
    else:
        objects = _drawn(run, plan)
    return run.commit(ModelRecord(round=0, objects=objects, ran_with=ran_with(started)), 0)


def _drawn(run: Run, plan: Plan) -> dict[str, ObjectRef]:
    """The network and its weights, drawn or pretrained."""
    family, dataset = trainable_family_of(plan.config, pretrained_of(plan)), run.load(DatasetRecord)
    base = family.base(dataset.channels, dataset.resolution)
    state = state_bytes(family.initial(base, plan.config.seed))
    return _written(run, {"raw.safetensors": state, "ema.safetensors": state, "network.json": _json(base)})


def _of_run(run: Run, plan: Plan) -> dict[str, ObjectRef]:
    """The audited run's own objects, by their keys.

    Raises:
        Fatal: its base model is not what it was; names it.
    """
    audited = audited_run(run, plan.config)
    trained = audited.plan()
    if plan.base is not None and trained.base is not None and plan.base != trained.base:
        raise Fatal(
            f"model.pretrained: {plan.config.model.pretrained}: its files are not those that {audited.url} was trained "
            "from: put the old ones there"
        )
    return audited.released_model(trained.config).objects


def _description(run: Run, plan: Plan) -> bytes:
    """What is audited, where no network of it is kept here."""
    if plan.config.audit.model is not None:
        return _json({**given_of(plan.config, pretrained_of(plan)).description(), "files": plan.base})
    dataset = run.load(DatasetRecord)
    return _json({"images": dataset.generated_samples, "set": dataset.generated_set})


def _written(run: Run, files: dict[str, bytes]) -> dict[str, ObjectRef]:
    return {name: run.put(ModelRecord, (0,), name, data) for name, data in files.items()}


def _json(content: Any) -> bytes:
    return json.dumps(content, indent=1, sort_keys=True).encode()

"""Model 0: one seeded network, or a pretrained one."""

import json
import time

from ..diffusion import trainable_family_of
from ..diffusion.device import set_numerics
from ..progress import Progress
from ..run import DatasetRecord, ModelRecord, Run, ran_with
from ..run.base_model import pretrained_of
from ..run.tensors import state_bytes


def initialize(run: Run, progress: Progress) -> ModelRecord:
    """Commit model 0; its moving average equals its weights.

    Raises:
        Fatal: the pretrained folder is missing, or holds a network of another shape.
    """
    if found := run.find(ModelRecord, 0):
        return found
    started = time.time()
    plan = run.plan()
    config = plan.config
    set_numerics(config)
    family, dataset = trainable_family_of(config, pretrained_of(plan)), run.load(DatasetRecord)
    base = family.base(dataset.channels, dataset.resolution)
    weights = family.initial(base, config.seed)
    state = state_bytes(weights)
    files = {
        "raw.safetensors": state,
        "ema.safetensors": state,
        "network.json": json.dumps(base, indent=1, sort_keys=True).encode(),
    }
    objects = {name: run.put(ModelRecord, (0,), name, data) for name, data in files.items()}
    return run.commit(ModelRecord(round=0, objects=objects, ran_with=ran_with(started)), 0)

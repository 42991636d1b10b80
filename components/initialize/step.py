"""Model 0: one seeded network, or a pretrained one."""

import json
import time
from typing import Any

from ..diffusion import family_of
from ..diffusion.device import set_numerics
from ..failure import Fatal
from ..progress import Progress
from ..run import DatasetRecord, ModelRecord, Run, ran_with
from ..run.given_files import check_file
from ..run.tensors import state_bytes
from ..store import Missing, open_store


def initialize(run: Run, progress: Progress) -> ModelRecord:
    """Commit model 0; its moving average equals its weights.

    Raises:
        Fatal: the pretrained folder is missing, or holds a network of another shape.
    """
    if found := run.find(ModelRecord, 0):
        return found
    started = time.time()
    config = run.config()
    set_numerics(config)
    family, dataset = family_of(config), run.load(DatasetRecord)
    base = family.base(dataset.channels, dataset.resolution)
    if config.model.pretrained is None:
        weights = family.initial(base, config.seed)
    else:
        check_file(config, run.plan().files, "model.pretrained")
        try:
            base, weights = family.pretrained(config.model.pretrained, open_store(config.model.pretrained).get, base)
        except Missing as error:
            raise Fatal(f"model.pretrained: {error}: give a diffusers folder with safetensors weights") from None
    state = state_bytes(weights)
    files = {
        "raw.safetensors": state,
        "ema.safetensors": state,
        "network.json": json.dumps(_plain(family.trainable(base).config), indent=1, sort_keys=True).encode(),
    }
    objects = {name: run.put(ModelRecord, (0,), name, data) for name, data in files.items()}
    return run.commit(ModelRecord(round=0, objects=objects, ran_with=ran_with(started)), 0)


def _plain(config: Any) -> dict[str, Any]:
    """A diffusers config without its notes on itself: where it came from, and a set in no order."""
    return {name: value for name, value in dict(config).items() if name not in ("_name_or_path", "_use_default_values")}

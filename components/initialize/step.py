"""Model 0: one seeded network, or a pretrained one."""

import json
import time
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load

from unecho.components.config import RunConfig
from unecho.components.diffusion.device import set_numerics
from unecho.components.diffusion.pixels import CONDITION_ROWS, initial_network, network_config
from unecho.components.failure import Fatal
from unecho.components.progress import Progress
from unecho.components.run import DatasetRecord, ModelRecord, Run, ran_with
from unecho.components.run.tensors import state_bytes
from unecho.components.store import Missing, open_store

_WEIGHTS = "unet/diffusion_pytorch_model.safetensors"


def step(run: Run, round: int | None, index: int | None, progress: Progress) -> ModelRecord:
    """Commit model 0; its moving average equals its weights.

    Raises:
        Fatal: the pretrained folder is missing, or holds a network of another shape.
    """
    if found := run.find(ModelRecord, 0):
        return found
    started = time.time()
    config = run.config()
    set_numerics(config)
    dataset = run.load(DatasetRecord)
    arguments = network_config(config, dataset.channels, dataset.resolution)
    if config.model.pretrained is None:
        network = initial_network(arguments, config.seed)
        state = network.state_dict()
    else:
        arguments, state = _pretrained(config, config.model.pretrained, arguments)
        network = initial_network(arguments, config.seed)
        _load(network, state, config.model.pretrained)
    weights = state_bytes(network.state_dict())
    files = {
        "raw.safetensors": weights,
        "ema.safetensors": weights,
        "network.json": json.dumps(_plain(network.config), indent=1, sort_keys=True).encode(),
    }
    objects = {name: run.put(ModelRecord, (0,), name, data) for name, data in files.items()}
    return run.commit(ModelRecord(round=0, objects=objects, ran_with=ran_with(started)), 0)


def _pretrained(
    config: RunConfig, address: str, arguments: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Config and weights of a diffusers folder's UNet2DModel, widened by the run's condition rows."""
    store = open_store(address)
    try:
        found = json.loads(store.get("unet/config.json"))
        state = load(store.get(_WEIGHTS))
    except Missing as error:
        raise Fatal(f"model.pretrained: {error}: give a diffusers folder with safetensors weights") from None
    except (ValueError, SafetensorError) as error:
        raise Fatal(f"model.pretrained: {address}: cannot be read: {error}") from None
    name = found.get("_class_name") if isinstance(found, dict) else type(found).__name__
    if name != "UNet2DModel":
        raise Fatal(f"model.pretrained: {address}: unet/config.json holds a {name}, a UNet2DModel is needed")
    for field in ("in_channels", "out_channels"):
        if found.get(field) != arguments[field]:
            raise Fatal(
                f"model.pretrained: {address}: {field} {found.get(field)}, "
                f"the data set's images have {arguments[field]}"
            )
    merged = {name: value for name, value in found.items() if not name.startswith("_")}
    merged |= {"num_class_embeds": arguments["num_class_embeds"], "sample_size": arguments["sample_size"]}
    return merged, state


def _load(network: torch.nn.Module, state: dict[str, torch.Tensor], address: str) -> None:
    """Load weights; condition rows that the pretrained network does not have stay zero."""
    own = network.state_dict()
    for name, tensor in own.items():
        given = state.get(name)
        if given is None and name == CONDITION_ROWS:
            continue
        if given is None or given.shape != tensor.shape:
            shape = None if given is None else tuple(given.shape)
            raise Fatal(f"model.pretrained: {address}: {name} has shape {shape}, {tuple(tensor.shape)} is needed")
        tensor.copy_(given)


def _plain(config: Any) -> dict[str, Any]:
    """A diffusers config without its notes on itself: where it came from, and a set in no order."""
    return {name: value for name, value in dict(config).items() if name not in ("_name_or_path", "_use_default_values")}

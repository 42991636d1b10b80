"""Tensors as objects of records: safetensors, and the JSON beside them."""

import json
from collections.abc import Mapping

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from ..config import RunConfig
from ..failure import Fatal
from ..store import ObjectRef, Store, fetch
from .address import Run
from .records import ModelRecord


def state_bytes(tensors: Mapping[str, torch.Tensor]) -> bytes:
    """Tensors as one safetensors file; same tensors, same bytes."""
    return save({name: t.detach().cpu().contiguous() for name, t in tensors.items()}, metadata={"format": "pt"})


def load_state(store: Store, ref: ObjectRef) -> dict[str, torch.Tensor]:
    """Tensors of a committed safetensors object, on the CPU; its digest is checked.

    Raises:
        Fatal: missing, altered, or no safetensors file.
    """
    try:
        return load(fetch(store, ref))
    except SafetensorError as error:
        raise Fatal(f"{store.address(ref.key)}: not a safetensors file: {error}") from None


def load_json(store: Store, ref: ObjectRef) -> dict[str, object]:
    """A committed JSON object."""
    content = json.loads(fetch(store, ref))
    assert isinstance(content, dict)
    return content


def sampled_weights(
    run: Run, config: RunConfig, model: ModelRecord
) -> tuple[dict[str, object], dict[str, torch.Tensor]]:
    """What the network is built from, and the aggregated model's weights that `sample.weights` names.

    A pipeline that is given has all of its weights in its own folder: none here.
    """
    given = config.audit.model is not None
    weights = {} if given else load_state(run.store, model.objects[f"{config.sample.weights}.safetensors"])
    return load_json(run.store, model.objects["network.json"]), weights

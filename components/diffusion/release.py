"""The released model: a diffusers folder that DiffusionPipeline.from_pretrained loads and samples."""

import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from unecho.components.config import RunConfig
from unecho.components.diffusion.sampling import sampling_pipeline
from unecho.components.run import ModelRecord, Run
from unecho.components.run.tensors import load_json, load_state


def sampled_weights(
    run: Run, config: RunConfig, model: ModelRecord
) -> tuple[dict[str, object], dict[str, torch.Tensor]]:
    """The network's config, and the aggregated model's weights that `sample.weights` names."""
    state = load_state(run.store, model.objects[f"{config.sample.weights}.safetensors"])
    return load_json(run.store, model.objects["network.json"]), state


def release_files(run: Run, config: RunConfig, model: ModelRecord) -> dict[str, bytes]:
    """The files of the diffusers folder, by their path in it. No pickle is among them."""
    network_config, state = sampled_weights(run, config, model)
    pipeline = sampling_pipeline(config, network_config, state, torch.device("cpu"), "ddpm")
    with TemporaryDirectory(prefix="unecho-release-") as folder:
        pipeline.save_pretrained(folder, safe_serialization=True)
        return {
            path.relative_to(folder).as_posix(): _without_paths(path)
            for path in sorted(Path(folder).rglob("*"))
            if path.is_file()
        }


def _without_paths(path: Path) -> bytes:
    """A file's bytes; diffusers notes the folder that a config came from, which is nobody's business."""
    if path.suffix != ".json":
        return path.read_bytes()
    content: Mapping[str, Any] = json.loads(path.read_text())
    return (json.dumps({k: v for k, v in content.items() if k != "_name_or_path"}, indent=2) + "\n").encode()

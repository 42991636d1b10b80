"""Pixel models: diffusers' UNet2DModel, with one class embedding a threshold-aware augmentation."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import torch
from diffusers import DDIMPipeline, DDPMPipeline, DiffusionPipeline, UNet2DModel
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn
from torch.nn import functional as F

from ..config import RunConfig
from ..failure import Fatal
from ..method.augment import augmentations
from .arithmetic import train_precision
from .family import Base, Batch, Pretrained
from .noise import noise_schedule, prediction_target, snr_weights

_AUTO_CHANNELS: Final[dict[int, tuple[int, ...]]] = {
    32: (128, 256, 256, 256),
    64: (128, 256, 256, 256, 512),
    128: (128, 128, 256, 256, 512, 512),
}
CONDITION_ROWS: Final = "class_embedding.weight"


class Pixels:
    """The family of models that denoise pixels, in [-1, 1]."""

    def __init__(self, config: RunConfig, pretrained: Pretrained | None) -> None:
        self._config, self._pretrained = config, pretrained
        self._schedule = noise_schedule(config)
        self._conditioned = condition_count(config) is not None

    def base(self, channels: int, resolution: int) -> Base:
        new = network_config(self._config, channels, resolution)
        arguments = new if self._pretrained is None else pretrained_config(self._pretrained, new)
        with torch.device("meta"):  # its config holds every argument, also those that are left to diffusers today
            config = dict(cast(UNet2DModel, build_network(arguments)).config)
        return {name: value for name, value in config.items() if name not in ("_name_or_path", "_use_default_values")}

    def initial(self, base: Base, seed: int) -> dict[str, Tensor]:
        """A pretrained network is widened by the run's condition rows, which stay zero."""
        weights = dict(initial_network(base, seed).state_dict())
        if self._pretrained is not None:
            _take_over(self._pretrained, weights)
        return weights

    def trainable(self, base: Base) -> nn.Module:
        network = build_network(base)
        if self._config.execution.gradient_checkpointing:
            cast(UNet2DModel, network).enable_gradient_checkpointing()
        return network

    def x0(self, held: Tensor) -> Tensor:
        return held.float() / 127.5 - 1

    def losses(self, network: nn.Module, batch: Batch, t: Tensor, noise: Tensor) -> Tensor:
        """Mean squared error of the prediction over a sample's values (arXiv 2006.11239, equation 14)."""
        x_t = self._schedule.add_noise(batch.x0, noise, t)
        target = prediction_target(self._schedule, batch.x0, noise, t)
        half = train_precision(self._config, x_t.device) == "bfloat16"
        with torch.autocast(x_t.device.type, torch.bfloat16, enabled=half):
            predicted = network(x_t, t, class_labels=batch.condition if self._conditioned else None).sample
        return F.mse_loss(predicted.float(), target, reduction="none").mean(dim=(1, 2, 3))

    def weights_of(self, t: Tensor) -> Tensor | None:
        gamma = self._config.train.min_snr_gamma
        return None if gamma is None else snr_weights(self._schedule, t, gamma)

    def pipeline(self, base: Base, weights: Mapping[str, Tensor], sampler: str) -> DiffusionPipeline:
        """A plain DDPMPipeline or DDIMPipeline: the condition 'none' is folded into the weights."""
        network = build_network({**base, "num_class_embeds": None})
        network.load_state_dict(fold_condition(weights))
        network.requires_grad_(False).eval()
        kind = DDIMPipeline if sampler == "ddim" else DDPMPipeline
        pipeline = kind(unet=network, scheduler=noise_schedule(self._config, sampler))
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    def images(
        self, pipeline: DiffusionPipeline, generators: list[torch.Generator], prompts: Sequence[str] | None, steps: int
    ) -> NDArray[np.float32]:
        made = pipeline(
            batch_size=len(generators), generator=generators, num_inference_steps=steps, output_type="np"
        ).images
        return np.asarray(made, np.float32)

    def release(self, base: Base, weights: Mapping[str, Tensor], folder: Path) -> None:
        self.pipeline(base, weights, "ddpm").save_pretrained(folder, safe_serialization=True)


_CONFIG, _WEIGHTS = "unet/config.json", "unet/diffusion_pytorch_model.safetensors"


def pretrained_config(pretrained: Pretrained, new: Base) -> dict[str, Any]:
    """A pretrained folder's UNet2DModel, told about as many augmentations as the run's.

    Raises:
        Fatal: it holds something else, or takes images of other channels; names it.
    """
    where = pretrained.where
    try:
        found = json.loads(pretrained.read(_CONFIG))
    except ValueError as error:
        raise Fatal(f"{where}: cannot be read: {error}") from None
    name = found.get("_class_name") if isinstance(found, dict) else type(found).__name__
    if name != "UNet2DModel":
        raise Fatal(f"{where}: {_CONFIG} holds a {name}, a UNet2DModel is needed")
    for field in ("in_channels", "out_channels"):
        if found.get(field) != new[field]:
            raise Fatal(f"{where}: {field} {found.get(field)}, the data set's images have {new[field]}")
    base = {name: value for name, value in found.items() if not name.startswith("_")}
    return base | {"num_class_embeds": new["num_class_embeds"], "sample_size": new["sample_size"]}


def _take_over(pretrained: Pretrained, weights: Mapping[str, Tensor]) -> None:
    """Copy a pretrained folder's weights into those of the same name."""
    where = pretrained.where
    try:
        state = load(pretrained.read(_WEIGHTS))
    except (ValueError, SafetensorError) as error:
        raise Fatal(f"{where}: cannot be read: {error}") from None
    for name, tensor in weights.items():
        given = state.get(name)
        if given is None and name == CONDITION_ROWS:
            continue
        if given is None or given.shape != tensor.shape:
            shape = None if given is None else tuple(given.shape)
            raise Fatal(f"{where}: {name} has shape {shape}, {tuple(tensor.shape)} is needed")
        tensor.copy_(given)


def condition_count(config: RunConfig) -> int | None:
    """Rows of the class embedding: 'none' and each augmentation; None where the network is not told."""
    if config.taa.enabled and config.taa.augment_conditioning:
        return 1 + len(augmentations(config.taa))
    return None


def network_config(config: RunConfig, channels: int, resolution: int) -> dict[str, Any]:
    """UNet2DModel's arguments for a data set of that shape.

    Raises:
        Fatal: the resolution cannot be halved as often as the network has levels.
    """
    widths = config.model.block_out_channels
    if widths == "auto":
        least = min((r for r in _AUTO_CHANNELS if r >= resolution), default=max(_AUTO_CHANNELS))
        widths = _AUTO_CHANNELS[least]
    halvings = 2 ** (len(widths) - 1)
    if resolution % halvings:
        raise Fatal(
            f"model.block_out_channels: {len(widths)} levels need a resolution that {halvings} divides, "
            f"the data set has {resolution}"
        )
    attends = [resolution >> level in config.model.attention_resolutions for level in range(len(widths))]
    return {
        "sample_size": resolution,
        "in_channels": channels,
        "out_channels": channels,
        "block_out_channels": widths,
        "layers_per_block": config.model.layers_per_block,
        "down_block_types": tuple("AttnDownBlock2D" if a else "DownBlock2D" for a in attends),
        "up_block_types": tuple("AttnUpBlock2D" if a else "UpBlock2D" for a in reversed(attends)),
        "add_attention": config.model.mid_attention,
        "norm_num_groups": config.model.norm_num_groups,
        "attention_head_dim": None,
        "dropout": config.model.dropout,
        "num_class_embeds": condition_count(config),
    }


def build_network(arguments: Mapping[str, Any]) -> nn.Module:
    """A network of that diffusers config, its weights not yet meaningful."""
    return cast(nn.Module, UNet2DModel.from_config(dict(arguments)))


def initial_network(arguments: Mapping[str, Any], seed: int) -> nn.Module:
    """The network that every variant and every engine starts from.

    Weights are drawn on the CPU from `seed`. The condition rows start at zero and draw nothing, so
    that a network which is told about augmentations starts as the one which is not.
    """
    rows = arguments.get("num_class_embeds")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        plain = build_network({**arguments, "num_class_embeds": None})
    if rows is None:
        return plain
    network = build_network(arguments)
    state = plain.state_dict() | {CONDITION_ROWS: torch.zeros_like(network.state_dict()[CONDITION_ROWS])}
    network.load_state_dict(state)
    return network


def fold_condition(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same function of (x, t) under the condition 'none', without a class embedding.

    Row 0 is added to the time embedding, the output of `time_embedding.linear_2`: it becomes part
    of that layer's bias.
    """
    folded = dict(state)
    rows = folded.pop(CONDITION_ROWS, None)
    if rows is not None:
        bias = "time_embedding.linear_2.bias"
        folded[bias] = folded[bias] + rows[0].to(folded[bias].dtype)
    return folded

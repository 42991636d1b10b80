"""The network: diffusers' UNet2DModel, with one class embedding a threshold-aware augmentation."""

from collections.abc import Mapping
from typing import Any, Final, cast

import torch
from diffusers import UNet2DModel
from torch import nn

from unecho.components.config import RunConfig
from unecho.components.failure import Fatal
from unecho.components.method.augment import augmentations

_AUTO_CHANNELS: Final[dict[int, tuple[int, ...]]] = {
    32: (128, 256, 256, 256),
    64: (128, 256, 256, 256, 512),
    128: (128, 128, 256, 256, 512, 512),
}
CONDITION_ROWS: Final = "class_embedding.weight"


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

"""How a network computes: in which precision, and whether torch compiles it."""

from functools import cache, wraps
from typing import Any

import torch
from diffusers import DDIMScheduler, DDPMScheduler
from torch import Tensor, nn

from ..config import RunConfig
from ..config.fields import Precision

_PAYS_FROM = 1000
"""Passes through a network from which on `compile: auto` compiles it: to compile takes as long as some hundred."""


def train_precision(config: RunConfig, device: torch.device) -> str:
    """The precision that a proxy trains in: "float32" or "bfloat16"."""
    return _on(config.train.precision, device)


def sample_precision(config: RunConfig, device: torch.device) -> str:
    """The precision that images are made in. A model that is given is taken as it is, unless another is asked for."""
    if config.is_audit and config.audit.run is None and config.sample.precision == "auto":
        return "float32"
    return _on(config.sample.precision, device)


def compiles(config: RunConfig, device: torch.device, passes: int) -> bool:
    """Whether a network is compiled.

    Args:
        passes: that are planned, a function of the plan alone: images must not depend on how they are split.
    """
    if config.compile == "auto":
        return device.type == "cuda" and passes >= _PAYS_FROM
    return config.compile


def laid_out(network: nn.Module, device: torch.device) -> nn.Module:
    """A network that is to be compiled, its weights lying as CUDA's convolutions take them: channels last."""
    return network.to(memory_format=torch.channels_last) if device.type == "cuda" else network


def denoiser(pipeline: Any) -> nn.Module | None:
    """The network that a pipeline passes at every step."""
    found = getattr(pipeline, "unet", None) or getattr(pipeline, "transformer", None)
    return found if isinstance(found, nn.Module) else None


def compute_in(network: nn.Module, precision: str) -> None:
    """Have a network that is sampled compute in a precision: what enters and leaves it stays float32."""
    if precision == "float32":
        return
    forward = network.forward

    @wraps(forward)
    def in_bfloat16(*given: Any, **named: Any) -> Any:
        device = next(network.parameters()).device
        with torch.autocast(device.type, torch.bfloat16):
            out = forward(*given, **named)
        # whole again: a scheduler draws noise of the kind that it is given
        return (out[0].float(), *out[1:]) if isinstance(out, tuple) else type(out)(sample=out.sample.float())

    network.forward = in_bfloat16


def hand_out_ahead(pipeline: Any) -> None:
    """Have a pipeline on a GPU hand out its steps without waiting for the device in between.

    diffusers sends each timestep to the device and waits, or has all of them there and asks for each one's value. Here
    they stay on the host, and are sent without waiting. No value changes.
    """
    network, scheduler = denoiser(pipeline), pipeline.scheduler
    if network is None or not isinstance(scheduler, DDPMScheduler | DDIMScheduler):
        return
    forward, set_timesteps = network.forward, scheduler.set_timesteps

    @wraps(forward)
    def sent(*given: Any, **named: Any) -> Any:
        device = next(one.device for one in (*given, *named.values()) if isinstance(one, Tensor) and one.ndim)

        def there(one: Any) -> Any:
            """A timestep is a single number; all else is where the images are."""
            return one.to(device, non_blocking=True) if isinstance(one, Tensor) and one.ndim == 0 else one

        return forward(*map(there, given), **{name: there(one) for name, one in named.items()})

    @wraps(set_timesteps)
    def on_the_host(*given: Any, device: object = None, **named: Any) -> None:
        set_timesteps(*given, **named)

    network.forward, scheduler.set_timesteps = sent, on_the_host


def compute_plainly(network: nn.Module) -> None:
    """Undo `compute_in`, and what was compiled: for measures, which are float32's."""
    network.__dict__.pop("forward", None)
    network._compiled_call_impl = None


def _on(precision: Precision, device: torch.device) -> str:
    if precision != "auto":
        return precision
    return "bfloat16" if device.type == "cuda" and _has_bfloat16(device) else "float32"


@cache
def _has_bfloat16(device: torch.device) -> bool:
    """Whether the device computes in it, and does not only imitate it."""
    with torch.cuda.device(device):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))

"""The schedulers that a pretrained pipeline is sampled with: its own, DDPM's or DDIM's under its noise."""

from collections.abc import Mapping
from typing import Any

import diffusers
import torch
from diffusers import DDIMScheduler, DDPMScheduler

from ..config.fields import Sample
from ..failure import Fatal


def check_sampler(address: str, pipeline: str, scheduler: Mapping[str, Any], sample: Sample, timesteps: int) -> None:
    """Whether the sampler can take so many steps: an offset moves the first beyond what the base was trained with.

    Args:
        pipeline: its class.
        scheduler: the config of the pipeline's own, with its class.
        timesteps: that it was trained with.

    Raises:
        Fatal: it cannot, or is unknown to diffusers; names the field.
    """
    if sample.sampler == "base" and not hasattr(diffusers, name := str(scheduler["_class_name"])):
        raise Fatal(f"sample.sampler: base: diffusers has no {name}, which {address} has: choose ddim or ddpm")
    with torch.device("cpu"):  # also where nothing but shapes is asked for
        # StableDiffusionPipeline sets every scheduler's offset to 1
        offset = {"steps_offset": 1} if pipeline == "StableDiffusionPipeline" else {}
        made = scheduler_of({**scheduler, **offset}, sample.sampler)
        try:
            made.set_timesteps(sample.steps)
        except ValueError as error:
            raise Fatal(f"sample.steps: {sample.steps}: {' '.join(str(error).split())[:300]}") from None
    if (first := int(made.timesteps.max())) >= timesteps:
        raise Fatal(
            f"sample.steps: {sample.steps}: the scheduler of {address} would begin at timestep {first}, and its last "
            f"is {timesteps - 1}: choose fewer"
        )


def scheduler_of(config: Mapping[str, Any], sampler: str) -> Any:
    """A sampler under the noise of a pipeline's own scheduler.

    Args:
        config: of that scheduler, with its class.
        sampler: "ddpm", "ddim" or "base" for its own.
    """
    kinds = {"ddpm": DDPMScheduler, "ddim": DDIMScheduler}
    kind = kinds.get(sampler) or getattr(diffusers, str(config["_class_name"]))
    fields = {name: value for name, value in config.items() if name != "_class_name"}
    return kind.from_config({"clip_sample": False} | fields)  # a class that never clips has no such field

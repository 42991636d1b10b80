"""A pipeline that is given and sampled as it is: nothing of it trains."""

import inspect
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Literal

import diffusers
import numpy as np
import torch
from diffusers import DDIMPipeline, DDPMPipeline, DiffusionPipeline
from numpy.typing import NDArray
from torch import Tensor

from ..config.fields import Sample
from ..failure import Fatal
from .base_folder import INDEX, has_weights, read_object
from .family import Base, Pretrained
from .given_folder import NOT_READ, given_shape, read_given
from .loading import one_line, whole
from .quiet import quiet
from .samplers import check_sampler, scheduler_of

_PIXELS: Final = ("DDPMPipeline", "DDIMPipeline", "PNDMPipeline")
"""One network of pixels under one scheduler: they differ in which."""
_SCHEDULER: Final = "scheduler/scheduler_config.json"
Values = Literal["-1..1", "0..1"]


class Given:
    """The family of pipelines that are audited: of whatever class of diffusers makes images from nothing or a text."""

    def __init__(
        self, pretrained: Pretrained, sample: Sample, values: Values = "-1..1", resolution: int | None = None
    ) -> None:
        """
        Args:
            values: the range of pixel values that the model was trained on.
            resolution: of its images, pixels, where its configs do not say it.

        Raises:
            Fatal: it cannot be sampled, or not so; names the field.
        """
        self._pretrained, self._sample, self._values = pretrained, sample, values
        self._index = read_given(pretrained.where, pretrained.read(INDEX))
        self._shape = given_shape(self._index, lambda name: self._config_of(f"{name}/config.json"), resolution)
        self._scheduler = self._scheduler_config()
        self._check_sampler()
        if values == "0..1" and (self.prompted or self._index.name == "ScoreSdeVePipeline"):
            raise Fatal(f"audit.values: 0..1: the values of a {self._index.name} need no undoing: leave it out")

    @property
    def prompted(self) -> bool:
        """Whether it makes images from a text."""
        return self._index.kind == "text"

    @property
    def has_vae(self) -> bool:
        """Whether it makes images of latents by a VAE of the class that Stable Diffusion's pipelines have."""
        return self._index.components.get("vae") == ("diffusers", "AutoencoderKL")

    def shape(self) -> tuple[int, int]:
        """Channels of its images, and their height and width in pixels; no weights are read for it."""
        return self._shape

    def description(self) -> Base:
        """What it is, in place of what a network is built from."""
        channels, side = self._shape
        return {
            "pipeline": self._index.name,
            "prompted": self.prompted,
            "components": {name: kind for name, (_, kind) in sorted(self._index.components.items())},
            "channels": channels,
            "resolution": side,
        }

    def pipeline(self, base: Base, weights: Mapping[str, Tensor], sampler: str) -> DiffusionPipeline:
        """The folder's, in float32, under the sampler. Both other arguments say nothing that the folder does not.

        It neither censors nor marks its images: a censored copy would be measured as a black image.
        """
        folder = self._pretrained.folder(*self._index.components)
        with quiet(), one_line(self._pretrained.where):
            kind, scheduler = self._kind(sampler), scheduler_of(self._scheduler, sampler)
            parts = self._parts(kind, folder)
            pipeline = kind.from_pretrained(folder, scheduler=scheduler, local_files_only=True, **parts)
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    def images(
        self, pipeline: DiffusionPipeline, generators: list[torch.Generator], prompts: Sequence[str] | None, steps: int
    ) -> NDArray[np.float32]:
        channels, side = self._shape
        if prompts is None:
            asked: dict[str, Any] = {"batch_size": len(generators)}
        else:
            guided = self._sample.guidance_scale
            asked = {"prompt": list(prompts), "height": side, "width": side, "guidance_scale": guided}
        on = [pipeline.device] if pipeline.device.type == "cuda" else []
        with quiet(), torch.random.fork_rng(on):
            torch.manual_seed(_seed_after(generators[0]))  # for pipelines that draw of the default generator, too
            made = pipeline(generator=generators, num_inference_steps=steps, output_type="np", **asked)
        images = np.asarray(getattr(made, "images", None), np.float32)
        if images.shape != (len(generators), side, side, channels) or not np.isfinite(images).all():
            raise Fatal(
                f"{self._pretrained.where}: it made {list(images.shape)} values for {len(generators)} images of {side} "
                f"px and {channels} channels, {np.isfinite(images).mean():.0%} of them numbers: audit images of it"
            )
        return images if self._values == "-1..1" else (2 * images - 1).clip(0, 1)

    def _config_of(self, path: str) -> dict[str, Any]:
        return read_object(self._pretrained.where, path, self._pretrained.read(path))

    def _scheduler_config(self) -> dict[str, Any]:
        if "scheduler" not in self._index.components:
            raise Fatal(f"{self._pretrained.where}: a {self._index.name} without a scheduler cannot be sampled here")
        found = self._config_of(_SCHEDULER) | {"_class_name": self._index.components["scheduler"][1]}
        return found if self.prompted else {"clip_sample": True} | found  # as its class takes it where nothing is said

    def _check_sampler(self) -> None:
        """Whether the scheduler can be what is asked for, in so many steps."""
        address, sample, scheduler = self._pretrained.address, self._sample, self._scheduler
        timesteps, name = int(scheduler.get("num_train_timesteps", 1000)), str(scheduler["_class_name"])
        if sample.steps > timesteps:
            raise Fatal(f"sample.steps: {sample.steps}: {address} was trained with {timesteps} timesteps: lower it")
        if "beta_schedule" in scheduler or scheduler.get("trained_betas"):
            check_sampler(address, self._index.name, scheduler, sample, timesteps)
        elif sample.sampler != "base":
            raise Fatal(
                f"sample.sampler: {sample.sampler}: the {name} of {address} has no beta schedule, so that neither DDPM "
                "nor DDIM samples under it: choose base"
            )
        if self._index.name == "DDPMPipeline" and sample.sampler == "base":
            step = getattr(diffusers, name).step
            if "generator" not in inspect.signature(step).parameters:
                raise Fatal(
                    f"sample.sampler: base: a DDPMPipeline cannot step with the {name} of {address}: choose ddim"
                )

    def _kind(self, sampler: str) -> Any:
        if self._index.name in _PIXELS and sampler != "base":
            return DDIMPipeline if sampler == "ddim" else DDPMPipeline
        return getattr(diffusers, self._index.name)

    def _parts(self, kind: Any, folder: Path) -> dict[str, Any]:
        """Its networks, whole or not at all; what it may be made without is left out."""
        without = dict.fromkeys(NOT_READ) | {"requires_safety_checker": False, "add_watermarker": False}
        takes = inspect.signature(kind.__init__).parameters
        parts: dict[str, Any] = {name: value for name, value in without.items() if name in takes}
        for name, (library, kind_of_part) in self._index.components.items():
            if has_weights(name):
                network = _class_of(self._pretrained.where, library, kind_of_part)
                parts[name] = whole(network, self._pretrained.where, folder, name, torch.float32)
        return parts


def _class_of(where: str, library: str, name: str) -> Any:
    module = library if library in ("diffusers", "transformers") else f"diffusers.pipelines.{library}"
    found = getattr(import_module(module), name, None)
    if found is None:
        raise Fatal(f"{where}: the {library} that is installed here has no {name}, of which it consists")
    return found


def _seed_after(generator: torch.Generator) -> int:
    """A seed that is a function of a generator's state, which stays as it is."""
    again = torch.Generator().set_state(generator.get_state())
    return int(torch.randint(2**62, (1,), generator=again))

"""Images from noise. An image depends on the weights, the seed and its index, not on how work was split."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from io import BytesIO
from typing import Final, NamedTuple

import numpy as np
import torch
from diffusers import DiffusionPipeline
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ..config import RunConfig
from .arithmetic import compiles, compute_in, compute_plainly, denoiser, hand_out_ahead, laid_out, sample_precision
from .compiling import Compiling
from .family import Base, Family
from .image_noise import ImageNoise

Prompt = Callable[[Sequence[int]], list[str]]
"""From the indices of images to what each is asked for."""
PREVIEW: Final = "preview"
"""What a preview draws its noise from, the same for every model: never what the report's images are drawn from."""


def generate(
    family: Family,
    pipeline: DiffusionPipeline,
    prompts: Prompt | None,
    seed: int,
    start: int,
    stop: int,
    batch_size: int,
    steps: int,
    stream: str = "sample",
    on_progress: Callable[[int], None] = lambda done: None,
) -> NDArray[np.uint8]:
    """Generate the images of index `start` to `stop - 1`, uint8 [stop - start, C, H, W].

    Args:
        on_progress: called with how many images are done, after each batch.
        Others: of `batches`.
    """
    made: list[NDArray[np.uint8]] = []
    for batch in batches(family, pipeline, prompts, seed, start, stop, batch_size, steps, stream):
        made.append(batch)
        on_progress(sum(map(len, made)))
    return np.concatenate(made)


def batches(
    family: Family,
    pipeline: DiffusionPipeline,
    prompts: Prompt | None,
    seed: int,
    start: int,
    stop: int,
    batch_size: int,
    steps: int,
    stream: str = "sample",
    compiling: Compiling | None = None,
) -> Iterator[NDArray[np.uint8]]:
    """Generate the images of index `start` to `stop - 1`, batch after batch: uint8 [B, C, H, W].

    A batch's arithmetic may depend on its size in the last bit, so a split is the same as the
    whole only when `start` is a multiple of `batch_size`.

    Args:
        pipeline: of the family.
        prompts: for a model that takes them.
        seed: the run's seed; each image draws from a stream of its own, a function of (stream, seed, index).
        stream: what the noise is for.
        compiling: of the pipeline's network, where it is to be compiled.
    """

    def made(indices: range) -> NDArray[np.float32]:
        noise = image_noise(seed, indices, stream)
        return family.images(pipeline, noise, prompts(indices) if prompts else None, steps)

    for first in range(start, stop, batch_size):
        indices = range(first, min(first + batch_size, stop))
        images = made(indices) if compiling is None else compiling(partial(made, indices))
        yield (images * 255).round().astype(np.uint8).transpose(0, 3, 1, 2)


def on_device(pipeline: DiffusionPipeline, config: RunConfig, device: torch.device) -> DiffusionPipeline:
    """A pipeline that is about to be sampled: on its device, its network in the precision that the plan says."""
    pipeline.to(device)
    if (network := denoiser(pipeline)) is not None:
        compute_in(network, sample_precision(config, device))
    if device.type == "cuda":
        hand_out_ahead(pipeline)
    return pipeline


class Ready(NamedTuple):
    """A pipeline that is about to be sampled by `sample`, and what compiles its network, where that is to be."""

    pipeline: DiffusionPipeline
    compiling: Compiling | None

    def plain(self) -> DiffusionPipeline:
        """The pipeline for what is measured of its network, in float32 and not compiled."""
        if (network := denoiser(self.pipeline)) is not None:
            compute_plainly(network)
        return self.pipeline


def ready(pipeline: DiffusionPipeline, config: RunConfig, device: torch.device, note: Callable[[str], None]) -> Ready:
    """A pipeline as `sample` samples it.

    Args:
        note: called with a line where its network cannot be compiled.
    """
    network, sample = denoiser(on_device(pipeline, config, device)), config.sample
    if network is None or not compiles(config, device, -(-sample.count // sample.batch_size) * sample.steps):
        return Ready(pipeline, None)
    return Ready(pipeline, Compiling(laid_out(network, device), config.compile, note))


def image_noise(seed: int, indices: Sequence[int], stream: str = "sample") -> ImageNoise:
    """What images draw their noise from, at the start and at every step: the same on every device."""
    return ImageNoise(stream, seed, indices)


def preview_strip(
    family: Family,
    config: RunConfig,
    base: Base,
    weights: Mapping[str, Tensor],
    prompts: Prompt | None,
    device: torch.device,
) -> bytes:
    """A PNG of `report.preview` images in a row, from the same noise whatever the weights (DDIM, 25 steps)."""
    count = config.report.preview
    pipeline = on_device(family.pipeline(base, weights, "ddim"), config, device)
    steps = min(25, config.noise.timesteps)
    at_once = min(count, config.sample.batch_size)
    images = generate(family, pipeline, prompts, config.seed, 0, count, at_once, steps, PREVIEW)
    row = np.concatenate(list(images), axis=2).transpose(1, 2, 0)
    png = BytesIO()
    Image.fromarray(row[..., 0] if row.shape[2] == 1 else row).save(png, "PNG")
    return png.getvalue()

"""Images from noise. An image depends on the weights, the seed and its index, not on how work was split."""

import hashlib
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any

import numpy as np
import torch
from diffusers import DDIMPipeline, DDPMPipeline
from numpy.typing import NDArray
from PIL import Image

from unecho.components.config import RunConfig
from unecho.components.diffusion.noise import noise_schedule
from unecho.components.diffusion.pixels import build_network, fold_condition


def sampling_pipeline(
    config: RunConfig,
    network_config: Mapping[str, Any],
    state: Mapping[str, torch.Tensor],
    device: torch.device,
    sampler: str,
) -> DDPMPipeline | DDIMPipeline:
    """The released network under a sampler, quiet, on `device`."""
    network = build_network({**network_config, "num_class_embeds": None})
    network.load_state_dict(fold_condition(state))
    network.requires_grad_(False).eval().to(device)
    kind = DDIMPipeline if sampler == "ddim" else DDPMPipeline
    pipeline = kind(unet=network, scheduler=noise_schedule(config, sampler))
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def generate(
    pipeline: DDPMPipeline | DDIMPipeline,
    seed: int,
    start: int,
    stop: int,
    batch_size: int,
    steps: int,
    told: Callable[[int], None] = lambda done: None,
) -> NDArray[np.uint8]:
    """Generate the images of index `start` to `stop - 1`.

    A batch's arithmetic may depend on its size in the last bit, so a split is the same as the
    whole only when `start` is a multiple of `batch_size`.

    Args:
        seed: the run's seed; each image draws from a generator of its own, made of (seed, index).
        told: called with how many images are done, after each batch.

    Returns:
        uint8 [stop - start, C, H, W].
    """
    batches = []
    for first in range(start, stop, batch_size):
        indices = range(first, min(first + batch_size, stop))
        # drawn on the CPU, so that the noise is the same on every device
        generators = [torch.Generator("cpu").manual_seed(_image_seed(seed, i)) for i in indices]
        images = pipeline(
            batch_size=len(indices), generator=generators, num_inference_steps=steps, output_type="np"
        ).images
        batches.append((images * 255).round().astype(np.uint8).transpose(0, 3, 1, 2))
        told(indices.stop - start)
    return np.concatenate(batches)


def _image_seed(seed: int, index: int) -> int:
    return int.from_bytes(hashlib.sha256(f"sample {seed} {index}".encode()).digest()[:8], "little") >> 1


def preview_strip(
    config: RunConfig, network_config: Mapping[str, Any], state: Mapping[str, torch.Tensor], device: torch.device
) -> bytes:
    """A PNG of `report.preview` images in a row, from the same noise whatever the weights (DDIM, 25 steps)."""
    count = config.report.preview
    pipeline = sampling_pipeline(config, network_config, state, device, "ddim")
    images = generate(pipeline, config.seed, 0, count, count, min(25, config.noise.timesteps))
    row = np.concatenate(list(images), axis=2).transpose(1, 2, 0)
    png = BytesIO()
    Image.fromarray(row[..., 0] if row.shape[2] == 1 else row).save(png, "PNG")
    return png.getvalue()

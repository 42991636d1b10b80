"""Models and images from elsewhere, for audits: pipelines of random weights, one that repeats an image, digits."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DDIMPipeline, DDIMScheduler, DDPMPipeline, DDPMScheduler, LDMPipeline, UNet2DModel, VQModel
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits


def tiny_unet(side: int = 8, channels: int = 1, **particular: Any) -> UNet2DModel:
    """A network of pixels of two levels."""
    torch.manual_seed(0)
    levels = {"block_out_channels": (8, 16), "norm_num_groups": 4}
    return UNet2DModel(
        sample_size=side,
        in_channels=channels,
        out_channels=channels,
        layers_per_block=1,
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
        **(levels | particular),
    )


def save_ddpm(folder: Path, side: int = 8, channels: int = 1, timesteps: int = 20, **particular: Any) -> Path:
    """A DDPMPipeline."""
    scheduler = DDPMScheduler(num_train_timesteps=timesteps)
    DDPMPipeline(tiny_unet(side, channels, **particular), scheduler).save_pretrained(folder)
    return folder


def save_ldm(folder: Path) -> Path:
    """An unconditional pipeline of latents: images of 16 px and 3 channels."""
    torch.manual_seed(0)
    decoder = VQModel(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(8, 16),
        norm_num_groups=4,
        num_vq_embeddings=16,
        latent_channels=1,
        sample_size=16,
    )
    LDMPipeline(decoder, tiny_unet(), DDIMScheduler(num_train_timesteps=20)).save_pretrained(folder)
    return folder


def write_digits(folder: Path, rows: Iterable[int]) -> Path:
    """Some of scikit-learn's digits as files, in the order of the rows."""
    return write_images(folder, digits()[list(rows)])


def digits() -> NDArray[np.uint8]:
    """All of them, [1797, 8, 8]."""
    return (load_digits().images * 255 / 16).round().astype(np.uint8)


def write_images(folder: Path, images: NDArray[np.uint8]) -> Path:
    """Grey images [n, H, W] or RGB ones [n, H, W, 3] as files."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{number:04}.png")
    return folder


def save_repeating(folder: Path, image: NDArray[np.uint8], least: float = -1.0) -> Path:
    """A DDIMPipeline that has memorized an image [H, W], trained on it alone for a few seconds.

    Args:
        least: pixel values are brought to the range from here to 1.
    """
    network = tiny_unet(len(image), block_out_channels=(16, 32), norm_num_groups=8)
    scheduler = DDPMScheduler(num_train_timesteps=20, prediction_type="sample", beta_end=0.4)
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    x0 = (torch.from_numpy(image.copy()).float() / 255 * (1 - least) + least).expand(8, 1, -1, -1)
    generator = torch.Generator().manual_seed(0)
    for _ in range(120):
        t, noise = torch.randint(20, (8,), generator=generator), torch.randn(x0.shape, generator=generator)
        predicted = network(scheduler.add_noise(x0, noise, t), t).sample
        loss = (predicted - x0).square().mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    DDIMPipeline(network, scheduler).save_pretrained(folder)
    return folder

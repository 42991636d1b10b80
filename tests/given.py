"""Pipelines of random weights that nobody trained, as folders: for audits of models from elsewhere."""

from pathlib import Path
from typing import Any

import torch
from diffusers import DDIMScheduler, DDPMPipeline, DDPMScheduler, LDMPipeline, UNet2DModel, VQModel


def tiny_unet(side: int = 8, channels: int = 1, **particular: Any) -> UNet2DModel:
    """A network of pixels of two levels."""
    torch.manual_seed(0)
    return UNet2DModel(
        sample_size=side,
        in_channels=channels,
        out_channels=channels,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
        norm_num_groups=4,
        **particular,
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

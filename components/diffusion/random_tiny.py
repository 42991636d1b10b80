"""`random-tiny`: text-to-image pipelines of random weights, of the real classes, made in a second: for tests."""

import hashlib
import json
import os
import string
import tempfile
from pathlib import Path
from shutil import rmtree
from typing import Any, Final, Literal

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from .base_folder import RANDOM_TINY
from .quiet import quiet

_FORM: Final = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12]
"""A folder that another version of this file made is not taken."""
_LENGTH: Final = 16
"""Tokens of a prompt."""

Kind = Literal["sd", "sd-v", "sdxl"]


def random_tiny_folder(kind: Kind = "sd") -> Path:
    """The folder of the pipeline, made now where this machine has none yet; the same bytes at every call."""
    parent = Path(tempfile.gettempdir()) / f"unecho-{os.getuid()}"
    folder = parent / f"{RANDOM_TINY}-{kind}-{_FORM}-{torch.__version__}"
    if not folder.is_dir():
        parent.mkdir(mode=0o700, exist_ok=True)
        new = Path(tempfile.mkdtemp(dir=parent))
        save_random_tiny(new, kind)
        try:
            new.rename(folder)
        except OSError:  # another process was first
            rmtree(new)
    return folder


def save_random_tiny(folder: Path, kind: Kind = "sd") -> None:
    """Save a pipeline of random weights: images of 16 px, latents of 4x8x8, tokens that are single letters.

    Args:
        kind: "sd" predicts noise, as Stable Diffusion 1 does; "sd-v" the velocity, as 2 does; "sdxl" has XL's two text
            encoders and size conditions.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        pipeline = _xl() if kind == "sdxl" else _sd("v_prediction" if kind == "sd-v" else "epsilon")
    with quiet():
        pipeline.save_pretrained(folder, safe_serialization=True)


def _sd(prediction: str) -> Any:
    return StableDiffusionPipeline(
        vae=_vae(),
        text_encoder=CLIPTextModel(_text(32, 32)),
        tokenizer=_tokenizer(),
        unet=_unet(cross_attention_dim=32),
        scheduler=_scheduler(prediction),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def _xl() -> Any:
    return StableDiffusionXLPipeline(
        vae=_vae(),
        text_encoder=CLIPTextModel(_text(32, 32)),
        text_encoder_2=CLIPTextModelWithProjection(_text(32, 16)),
        tokenizer=_tokenizer(),
        tokenizer_2=_tokenizer(),
        unet=_unet(
            cross_attention_dim=64,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=16 + 6 * 8,
        ),
        scheduler=_scheduler("epsilon"),
        force_zeros_for_empty_prompt=True,
    )


def _vae() -> AutoencoderKL:
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(8, 16),
        norm_num_groups=4,
        latent_channels=4,
        sample_size=16,
    )


def _unet(**particular: Any) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        norm_num_groups=8,
        attention_head_dim=8,
        **particular,
    )


def _scheduler(prediction: str) -> DDIMScheduler:
    return DDIMScheduler(
        num_train_timesteps=50,
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type=prediction,
    )


def _text(width: int, projection: int) -> CLIPTextConfig:
    tokenizer = _tokenizer()
    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=2 * width,
        projection_dim=projection,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=_LENGTH,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def _tokenizer() -> CLIPTokenizer:
    """CLIP's tokenizer with a vocabulary of single letters and digits, inside and at the end of a word."""
    letters = [*string.ascii_lowercase, *string.digits, *",.-'"]
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    with tempfile.TemporaryDirectory(prefix="unecho-tokenizer-") as folder:
        vocabulary, merges = Path(folder, "vocab.json"), Path(folder, "merges.txt")
        vocabulary.write_text(json.dumps({token: number for number, token in enumerate(tokens)}))
        merges.write_text("#version: 0.2\n")
        return CLIPTokenizer(str(vocabulary), str(merges), model_max_length=_LENGTH)

"""The parts of a base model as a plain diffusers pipeline."""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from diffusers import AutoencoderKL, StableDiffusionPipeline
from torch import nn
from transformers import CLIPTokenizer

from ..quiet import quiet
from ..release import folder_files
from .denoiser import noise_schedule


def build_pipeline(
    tokenizer: CLIPTokenizer, autoencoder: AutoencoderKL, networks: nn.ModuleDict
) -> StableDiffusionPipeline:
    """A StableDiffusionPipeline without a safety checker, on the CPU and without a progress bar."""
    pipeline = StableDiffusionPipeline(
        vae=autoencoder,
        text_encoder=networks["text_encoder"],
        tokenizer=tokenizer,
        unet=networks["unet"],
        scheduler=noise_schedule(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def open_pipeline(folder: str) -> StableDiffusionPipeline:
    """A folder as any program loads it, on the CPU and without progress bars."""
    with quiet():
        pipeline = StableDiffusionPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def base_files(pipeline: StableDiffusionPipeline, tokenizer: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files of the folder, by their path in it; no pickle is among them.

    Args:
        tokenizer: its files of `train_tokenizer`, which programs that know no tokenizer.json read.
    """
    with quiet(), TemporaryDirectory(prefix="unecho-base-") as folder:
        pipeline.save_pretrained(folder, safe_serialization=True)
        files = {name: path.read_bytes() for name, path in folder_files(Path(folder)).items()}
    return files | {f"tokenizer/{name}": data for name, data in tokenizer.items()}

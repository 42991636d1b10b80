"""A training step on encodings, against the same step that runs VAE and text encoder every time (goal: 1.5x as fast).

With random weights, on the CPU, on one thread, in float32: a pipeline of Stable Diffusion 1.5's classes and depths at a
quarter of its widths, four images of 256 pixels a step, where the shares of UNet, VAE and text encoder in the
arithmetic are about those of the whole one; and the pipeline that `unecho base` makes, 16 images of 32 pixels a step.
"""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from tests.benchmarks.turns import Work, in_turns
from unecho.components.config import resolve
from unecho.components.diffusion import trainable_family_of
from unecho.components.diffusion.device import set_numerics
from unecho.components.diffusion.encoders import ImageEncoder, TextEncoder
from unecho.components.diffusion.pretraining.autoencoder import build_autoencoder
from unecho.components.diffusion.pretraining.config import BaseModelConfig
from unecho.components.diffusion.pretraining.denoiser import build_networks
from unecho.components.diffusion.pretraining.pipeline import build_pipeline
from unecho.components.diffusion.pretraining.tokenizer import open_tokenizer, train_tokenizer
from unecho.components.diffusion.quiet import quiet
from unecho.components.diffusion.random_tiny import random_tiny_folder
from unecho.components.run.base_model import BaseModel, base_digests
from unecho.components.train.encoded_batches import EncodedBatches, EncodedShard, PickedEncodings
from unecho.components.train.held import HeldRows
from unecho.components.train.order import Order
from unecho.components.train.slot import Slot
from unecho.components.train.update import Trainer

SAMPLES, PAIRS = 16, 5
CPU = torch.device("cpu")
CAPTION = "a photograph of a red bicycle that leans on the wall of a house by the canal"


def benchmark() -> None:
    for name, save, side, batch in (("quarter SD", save_quarter_sd, 256, 4), ("small base", save_small_base, 32, 16)):
        with TemporaryDirectory(prefix="unecho-benchmark-") as folder:
            save(Path(folder))
            for kind, lora in (("adapters (LoRA)", "true"), ("the whole UNet", "false")):
                turns = in_turns(*_two_ways(folder, side, batch, f"lora.enabled={lora}"), PAIRS)
                ours, every_time = turns.seconds("cpu")
                both = f"{turns.inverse('cpu')}; {turns.inverse('wall')}"
                spent = f"{ours:.3g} s of processor against {every_time:.3g} s a step"
                print(f"  {name}, {kind}: {both}; {spent}", flush=True)


def _two_ways(folder: str, side: int, batch: int, *settings: str) -> tuple[Work, Work]:
    """A step on encodings, and one that encodes; whatever else they do is the same code."""
    of_base = (
        f"model.pretrained={folder}",
        f"data.resolution={side}",
        f"train.batch_size={batch}",
        "train.precision=float32",
        "threads=1",
        "taa.enabled=false",
    )
    config = resolve("text-to-image", settings=(*of_base, *settings))
    set_numerics(config)
    pretrained = BaseModel(config, base_digests(config))
    family = trainable_family_of(config, pretrained)
    base = family.base(3, side)
    see, read = ImageEncoder(pretrained, CPU, torch.float32), TextEncoder(base, pretrained, CPU, torch.float32)
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (SAMPLES, 3, side, side), np.uint8))
    latents, texts = torch.cat([see(pixels[i : i + 4]) for i in range(0, SAMPLES, 4)]), read(["", CAPTION])
    shard = EncodedShard(
        latents=HeldRows(lambda rows: latents[rows], np.arange(SAMPLES), CPU),
        texts=HeldRows(lambda rows: texts[rows], np.arange(2), CPU),
        condition=torch.zeros(SAMPLES, 1, dtype=torch.int64),
        caption_start=torch.arange(SAMPLES + 1),
        caption_text=torch.ones(SAMPLES, dtype=torch.int64),
        variant_text=torch.zeros(SAMPLES, 0, config.encode.variants, dtype=torch.int64),
    )

    def trainer(batches: EncodedBatches) -> Trainer:
        state = family.initial(base, 0)
        slot = Slot(config, family.trainable(base), state, state, torch.zeros(SAMPLES, dtype=torch.bool), CPU)
        return Trainer(config, family, 0, slot, batches)

    arguments = (config, 0, Order(config, 0, SAMPLES), shard, family, CPU)
    return trainer(EncodedBatches(*arguments)).update, trainer(_Encoding(*arguments, pixels, see, read)).update


class _Encoding(EncodedBatches):
    """The same batches, encoded at every step."""

    def __init__(self, *arguments: object) -> None:
        *of_encodings, self._pixels, self._see, self._read = arguments
        super().__init__(*of_encodings)

    def at(self, step: int, augment_next: Tensor) -> PickedEncodings:
        picked = super().at(step, augment_next)
        captions = [CAPTION] * len(picked.samples)
        return replace(picked, moments=self._see(self._pixels[picked.samples]), text=self._read(captions))


def save_small_base(folder: Path) -> None:
    """Save a pipeline of random weights of the size that `unecho base` trains."""
    config = BaseModelConfig()
    tokenizer = open_tokenizer(train_tokenizer([CAPTION], config.tokenizer.vocabulary), config.tokenizer.max_length)
    with quiet():
        pipeline = build_pipeline(tokenizer, build_autoencoder(config), build_networks(config, tokenizer))
        pipeline.save_pretrained(folder, safe_serialization=True)


def save_quarter_sd(folder: Path) -> None:
    """Save a pipeline of random weights whose widths are a quarter of Stable Diffusion 1.5's."""
    with quiet():
        tokenizer = CLIPTokenizer.from_pretrained(random_tiny_folder() / "tokenizer", model_max_length=77)
        unet = UNet2DConditionModel(
            sample_size=64, block_out_channels=(80, 160, 320, 320), cross_attention_dim=192, norm_num_groups=16
        )
        vae = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(32, 64, 128, 128),
            layers_per_block=2,
            norm_num_groups=8,
            sample_size=512,
        )
        text = CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=192,
            intermediate_size=768,
            num_hidden_layers=12,
            num_attention_heads=12,
            max_position_embeddings=77,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
        parts = nn.ModuleDict({"text_encoder": CLIPTextModel(text), "unet": unet})
        build_pipeline(tokenizer, vae, parts).save_pretrained(folder, safe_serialization=True)

"""Small captioned images, pipelines of random weights, and text-to-image runs of seconds."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from unecho.components.config import RunConfig, resolve
from unecho.components.diffusion.random_tiny import Kind, save_random_tiny
from unecho.components.store import open_store

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven")
COUNT = 40


def write_images(folder: Path, count: int = COUNT, channels: int = 3, side: int = 16, first: int = 0) -> Path:
    """Images of blocks of colour, each with a caption; captions repeat, and all images differ."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(first, first + count):
        blocks = np.random.default_rng(i).integers(0, 256, (4, 4, channels), dtype=np.uint8)
        pixels = blocks.repeat(side // 4, 0).repeat(side // 4, 1)
        Image.fromarray(pixels[..., 0] if channels == 1 else pixels).save(folder / f"{i:03}.png")
        (folder / f"{i:03}.txt").write_text(f"{WORDS[i % 8]} and {WORDS[i // 8 % 8]}")
    return folder


@cache
def _kept(name: str) -> TemporaryDirectory[str]:
    """A directory that goes when the tests end."""
    return TemporaryDirectory(prefix=f"unecho-test-{name}-")


def kept(name: str) -> Path:
    """A directory for what tests share, the same for the same name."""
    return Path(_kept(name).name)


@cache
def _tiny(kind: Kind) -> Path:
    folder = kept(f"base-{kind}")
    save_random_tiny(folder, kind)
    return folder


def tiny_base(kind: Kind = "sd") -> Path:
    """A pipeline of random weights that no test changes."""
    return _tiny(kind)


def put_base(root: str) -> str:
    """A copy of the base model below a root in S3; its address."""
    store = open_store(f"{root}/base")
    for file in sorted(tiny_base().rglob("*")):
        if file.is_file():
            store.put(file.relative_to(tiny_base()).as_posix(), file.read_bytes())
    return f"{root}/base"


@cache
def _images() -> Path:
    return write_images(kept("captioned"))


def captioned(*settings: str, variant: str = "iet-agc+") -> RunConfig:
    """A full fine-tuning of two rounds on two shards of 12 images, with all parts of the method at work."""
    sections = {
        "data": {"channels": 3, "resolution": 16, "train_limit": 24, "held_out_limit": 12, "chunk_mib": 0.01},
        "model": {"family": "latents"},
        "noise": {"timesteps": 50},
        "lora": {"rank": 4},
        "iet": {"shards": 2, "rounds": 2, "local_epochs": 3},
        "train": {
            "batch_size": 4,
            "optimizer": "adamw",
            "learning_rate": 1e-3,
            "weight_decay": 0.01,
            "ema_decay": 0.9,
            "ema_warmup": True,
            "caption_dropout": 0.25,
            "horizontal_flip": True,
        },
        "agc": {"skip_ratio": 1.25},
        "msr": {"redistribute_fraction": 0.25},
        "taa": {"augment_below": 20, "augmentations": ["shift", "randaugment", "repeat_word"]},
        "encode": {"variants": 2, "batch_size": 16},
        "sample": {
            "count": 12,
            "parts": 2,
            "batch_size": 4,
            "sampler": "ddim",
            "steps": 2,
            "guidance_scale": 3.0,
            "companions": 4,
        },
        "evaluate": {"neighbours": 5, "prompts": 6, "prompt_seeds": 2},
        "report": {"preview": 2},
        "threads": 1,
        "execution": {"device": "cpu"},
    }
    base = (f"data.source={_images()}", "data.held_out=0.4", f"model.pretrained={tiny_base()}")
    return resolve(None, variant, settings=(*base, *settings), overrides=sections)

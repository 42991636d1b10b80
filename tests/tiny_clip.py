"""A CLIPModel of a few thousand weights, with tokenizer and processor: text alignment without a download."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPVisionConfig

from tests.captioned import kept
from unecho.components.diffusion.random_tiny import _text, _tokenizer

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (30, 40, 220), "white": (240, 240, 240)}


def colours(count: int, seed: int, side: int = 16) -> tuple[NDArray[np.uint8], list[str]]:
    """Noisy images of one colour each, uint8 [n, 3, side, side], and its name."""
    draw = np.random.default_rng(seed)
    names = [list(COLOURS)[i % len(COLOURS)] for i in range(count)]
    flat = np.array([COLOURS[name] for name in names])[:, :, None, None]
    noisy = flat + draw.normal(0, 20, (count, 3, side, side))
    return noisy.clip(0, 255).astype(np.uint8), names


def tiny_clip() -> Path:
    """A folder of it that no test changes: random weights."""
    folder = kept("clip")
    if not (folder / "config.json").exists():
        save(model(), folder)
    return folder


def clip_of_colours() -> Path:
    """One that was trained for a moment to tell which word a colour has."""
    folder = kept("clip-of-colours")
    if not (folder / "config.json").exists():
        save(_trained(model()), folder)
    return folder


def model() -> CLIPModel:
    vision = CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=16,
        patch_size=8,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = CLIPConfig(text_config=_text(32, 16).to_dict(), vision_config=vision.to_dict(), projection_dim=16)
        return CLIPModel(config).eval()


def save(clip: CLIPModel, folder: Path) -> None:
    clip.save_pretrained(folder)
    _tokenizer().save_pretrained(folder)
    processor().save_pretrained(folder)


def processor() -> CLIPImageProcessor:
    return CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16})


def _trained(clip: CLIPModel) -> CLIPModel:
    images, names = colours(len(COLOURS), seed=0)
    pixels = processor()(images=list(torch.from_numpy(images)), return_tensors="pt")
    tokens = _tokenizer()(names, padding=True, return_tensors="pt")
    optimizer = torch.optim.Adam(clip.parameters(), lr=3e-3)
    for _ in range(60):
        optimizer.zero_grad()
        clip(**pixels, **tokens, return_loss=True).loss.backward()
        optimizer.step()
    return clip

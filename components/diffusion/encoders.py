"""The frozen encoders of a text-to-image pipeline: images to the moments of latents, captions to text states."""

import re
from collections.abc import Sequence
from typing import Final

import torch
from diffusers import AutoencoderKL
from torch import Tensor

from .family import Base, Pretrained
from .loading import one_line, pipeline_with, whole
from .quiet import quiet

_TEXT: Final = ("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "scheduler")


class ImageEncoder:
    """A pipeline's VAE, as far as it encodes."""

    def __init__(self, pretrained: Pretrained, device: torch.device, dtype: torch.dtype) -> None:
        folder = pretrained.folder("vae")
        with quiet(), one_line(pretrained.where):
            vae = whole(AutoencoderKL, pretrained.where, folder, "vae", dtype)
        self._vae, self._device, self._dtype = vae.to(device).eval().requires_grad_(False), device, dtype

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Mean and log-variance of each image's latent, [B, 2 C, h, w] in the encoder's dtype on the CPU.

        Args:
            images: uint8 [B, 3, H, W].
        """
        x = (images.to(self._device).float() / 127.5 - 1).to(self._dtype)
        moments: Tensor = self._vae.encode(x).latent_dist.parameters
        return moments.cpu()


class TextEncoder:
    """A pipeline's tokenizers and text encoders."""

    def __init__(self, base: Base, pretrained: Pretrained, device: torch.device, dtype: torch.dtype) -> None:
        folder = pretrained.folder(*_TEXT)
        self._xl = base["pipeline"] == "StableDiffusionXLPipeline"
        self._zeros = bool(base["zeros_for_no_caption"])
        with quiet(), one_line(pretrained.where):
            self._pipeline = pipeline_with(pretrained.where, folder, base, dtype, unet=None, vae=None).to(device)
        self._device = device

    @torch.no_grad()
    def __call__(self, texts: Sequence[str]) -> Tensor:
        """States of each text, then XL's pooled ones, [B, L * D + P] in the encoder's dtype on the CPU.

        The empty text is what guidance leaves the caption out for: zeros where the pipeline takes zeros for it.
        """
        with quiet():
            encoded = self._pipeline.encode_prompt(
                list(texts), device=self._device, num_images_per_prompt=1, do_classifier_free_guidance=False
            )
        rows: Tensor = encoded[0].flatten(1)
        if self._xl:
            rows = torch.cat([rows, encoded[2]], dim=1)
            if self._zeros:
                rows[[place for place, text in enumerate(texts) if not text]] = 0
        return rows.cpu()

    def cut(self, texts: Sequence[str]) -> int:
        """How many of these texts are longer than the model reads."""
        tokenizer = self._pipeline.tokenizer
        with quiet():
            lengths = [len(ids) for ids in tokenizer(list(texts), padding=False, truncation=False).input_ids]
        return sum(length > tokenizer.model_max_length for length in lengths)


def vocabulary(pretrained: Pretrained) -> list[str]:
    """Whole words that the pipeline's tokenizer knows, in its own order; letters alone where it knows no words."""
    from transformers import CLIPTokenizer

    folder = pretrained.folder("tokenizer")
    with quiet(), one_line(pretrained.where):
        tokens = CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True).get_vocab()
    ordered = [token for token, _ in sorted(tokens.items(), key=lambda item: item[1])]
    words = [token.removesuffix("</w>") for token in ordered if token.endswith("</w>")]
    return [word for word in words if re.fullmatch(r"[a-z]{3,}", word)] or [w for w in words if w.isalpha()]

"""How well an image fits a text, by a model of both (CLIP): the cosine of their embeddings."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from errno import ENOENT
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..failure import Fatal, memory_line
from .exact import exact

_IMAGES_AT_ONCE = 64
_TEXTS_AT_ONCE = 256


class TextImageModel:
    """A CLIPModel of transformers with its tokenizer and its image processor."""

    def __init__(self, where: str, folder: Path, digest: str, device: torch.device) -> None:
        """
        Args:
            where: the field that names the folder, and its address: for messages.
            folder: config.json, safetensors weights, tokenizer and processor. No code of it is run.
            digest: SHA-256 of its files.

        Raises:
            Fatal: it does not load, or weights are missing; names what.
        """
        self.digest, self._where, self._device = digest, where, device
        with _one_line(where):
            self._load(folder)
            self.images(np.zeros((1, 3, 32, 32), np.uint8))
            self.texts(["a"])

    def _load(self, folder: Path) -> None:
        from transformers import CLIPImageProcessor, CLIPModel, CLIPTokenizer
        from transformers.utils import logging

        logging.disable_progress_bar()
        loaded, notes = CLIPModel.from_pretrained(
            folder, dtype=torch.float32, use_safetensors=True, local_files_only=True, output_loading_info=True
        )
        self._processor = CLIPImageProcessor.from_pretrained(folder, local_files_only=True)
        self._tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
        if missing := sorted(notes["missing_keys"]):
            raise Fatal(
                f"{self._where}: its weights lack {missing[0]} ({len(missing)} missing in all), which its config.json "
                "asks for: copy the folder again, from where it is whole"
            )
        self._model: Any = loaded.to(self._device).eval()
        self._longest = int(loaded.config.text_config.max_position_embeddings)
        known, has = len(self._tokenizer), int(loaded.config.text_config.vocab_size)
        if known > has:
            raise Fatal(f"{self._where}: its tokenizer knows {known:,} tokens, the model {has:,}: it is another's")

    def images(self, images: NDArray[np.uint8]) -> Tensor:
        """Unit vectors, float32 [n, D] on the CPU, of uint8 [n, C, H, W]; grey ones are repeated to three channels."""
        starts = range(0, len(images), _IMAGES_AT_ONCE)
        return torch.cat([self._images(images[start : start + _IMAGES_AT_ONCE]) for start in starts])

    def texts(self, texts: Sequence[str]) -> Tensor:
        """Unit vectors, float32 [n, D] on the CPU; a text is cut at what the model reads."""
        starts = range(0, len(texts), _TEXTS_AT_ONCE)
        return torch.cat([self._texts(list(texts[start : start + _TEXTS_AT_ONCE])) for start in starts])

    @exact()
    @torch.inference_mode()
    def _images(self, images: NDArray[np.uint8]) -> Tensor:
        some = torch.from_numpy(images)
        some = some.expand(-1, 3, -1, -1) if some.shape[1] == 1 else some
        values = self._processor(images=list(some), return_tensors="pt")["pixel_values"].to(self._device)
        return self._unit(self._model.get_image_features(pixel_values=values).pooler_output)

    @exact()
    @torch.inference_mode()
    def _texts(self, texts: list[str]) -> Tensor:
        tokens = self._tokenizer(texts, padding=True, truncation=True, max_length=self._longest, return_tensors="pt")
        return self._unit(self._model.get_text_features(**tokens.to(self._device)).pooler_output)

    def _unit(self, vectors: Tensor) -> Tensor:
        if not vectors.isfinite().all():
            raise Fatal(f"{self._where}: gives embeddings that are not finite numbers")
        unit: Tensor = torch.nn.functional.normalize(vectors.float(), dim=1).cpu()
        return unit


@contextmanager
def _one_line(where: str) -> Iterator[None]:
    """A folder that does not load is a user's matter; a full disk or too little memory is not its fault."""
    try:
        yield
    except Fatal:
        raise
    except Exception as error:  # tokenizers and safetensors raise classes of their own, without a common name
        if memory_line(error) or (isinstance(error, OSError) and error.errno not in (None, ENOENT)):
            raise
        text = " ".join(str(error).split()) or type(error).__name__
        raise Fatal(f"{where}: transformers cannot use it: {text[:300]}") from None

"""Parts of a pretrained text-to-image pipeline from its folder, whole or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from errno import ENOENT
from pathlib import Path
from threading import RLock
from typing import Any, Final

import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from safetensors import SafetensorError
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from ..failure import Fatal, memory_line
from .base_folder import variant_of
from .family import Base


def pipeline_with(where: str, folder: Path, base: Base, dtype: torch.dtype, **components: Any) -> Any:
    """The base's pipeline with its own text encoders and tokenizers; it neither censors nor marks its images.

    Args:
        folder: the pretrained pipeline's.
        components: its others, None for one that is not needed.
    """
    components["text_encoder"] = whole(CLIPTextModel, where, folder, "text_encoder", dtype)
    if pipeline_class(base) is StableDiffusionXLPipeline:
        second = whole(CLIPTextModelWithProjection, where, folder, "text_encoder_2", dtype)
        components |= {"text_encoder_2": second, "add_watermarker": False}
    else:
        components |= {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    return pipeline_class(base).from_pretrained(folder, dtype=dtype, local_files_only=True, **components)


def pipeline_class(base: Base) -> Any:
    return StableDiffusionXLPipeline if base["pipeline"] == "StableDiffusionXLPipeline" else StableDiffusionPipeline


_LOADING: Final = RLock()
"""While diffusers loads weights, every module of the process is made without any: two threads that load at once would
leave it so for good (accelerate's `init_empty_weights`)."""


@contextmanager
def one_line(where: str) -> Iterator[None]:
    """A folder that does not load is a user's matter, no bug; a full disk or too little memory is not its fault.

    One thread loads at a time.
    """
    try:
        with _LOADING:
            yield
    except (OSError, ValueError, KeyError, RuntimeError, ArithmeticError, ImportError, SafetensorError) as error:
        if memory_line(error) or (isinstance(error, OSError) and error.errno not in (None, ENOENT)):
            raise
        text = " ".join(str(error).split())
        raise Fatal(f"{where}: diffusers cannot load it: {text[:400]}") from None


def whole(kind: Any, where: str, folder: Path, component: str, dtype: torch.dtype, **more: Any) -> Any:
    """A component with its weights, which the libraries would draw at random where the file lacks them.

    Args:
        kind: its class, of diffusers or transformers.
        folder: the pipeline's.

    Raises:
        Fatal: weights are missing; names the first.
    """
    loaded, notes = kind.from_pretrained(
        folder / component,
        variant=variant_of(folder, component),
        dtype=dtype,
        use_safetensors=True,
        local_files_only=True,
        output_loading_info=True,
        **more,
    )
    if missing := sorted(notes["missing_keys"]):
        raise Fatal(
            f"{where}: {component}/: its weights lack {missing[0]} ({len(missing)} missing in "
            "all), which its config.json asks for: copy the folder again, from where it is whole"
        )
    return loaded

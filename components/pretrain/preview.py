"""What a base can do, as a picture: held-out images, what the autoencoder keeps of them, samples by their captions."""

from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from diffusers import StableDiffusionPipeline
from PIL import Image

from ..data import Dataset
from ..diffusion.base_folder import INDEX
from ..diffusion.pretraining.autoencoder import reconstructed
from ..diffusion.pretraining.pipeline import open_pipeline
from ..diffusion.quiet import quiet
from ..diffusion.sampling import PREVIEW, image_noise
from ..failure import Fatal
from ..store import Store, fetch
from .base import BaseRecord, distinct

COLUMNS = 12
_ENLARGED = 3
_STEPS, _GUIDANCE = 50, 3.0


def open_base(target: Store, record: BaseRecord) -> StableDiffusionPipeline:
    """The pipeline of a base's folder, loaded as any program loads it; digests are checked."""
    with TemporaryDirectory(prefix="unecho-base-") as folder:
        files = {name: fetch(target, ref) for name, ref in record.objects.items()}
        for name, data in (files | {INDEX: target.get(INDEX)}).items():
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return open_pipeline(folder)


def preview(pipeline: StableDiffusionPipeline, dataset: Dataset, seed: int) -> tuple[bytes, list[str]]:
    """A PNG of three rows, enlarged: held-out images with a caption, spread over all; each through the autoencoder; a
    sample by each one's caption (DDIM, 50 steps, guidance 3).

    Returns:
        The PNG, and the captions from left to right.

    Raises:
        Fatal: no held-out image has a caption.
    """
    pictures = distinct(dataset, held_out=True)
    captioned = [number for number, caption in enumerate(pictures.captions) if caption]
    if not captioned:
        raise Fatal("--preview: no held-out image has a caption: there is nothing to show")
    spread = np.linspace(0, len(captioned) - 1, min(COLUMNS, len(captioned))).astype(int)
    chosen = [captioned[place] for place in spread]
    captions, images = [pictures.captions[number] for number in chosen], pictures.images[chosen]
    rows = [images.numpy(), reconstructed(pipeline.vae, images).numpy()]
    with quiet():
        samples = pipeline(
            captions,
            num_inference_steps=_STEPS,
            guidance_scale=_GUIDANCE,
            generator=image_noise(seed, range(len(captions)), PREVIEW),
            output_type="np",
        ).images
    rows.append((samples * 255).round().astype(np.uint8).transpose(0, 3, 1, 2))
    sheet = np.concatenate([np.concatenate(list(row), axis=2) for row in rows], axis=1).transpose(1, 2, 0)
    png = BytesIO()
    Image.fromarray(np.kron(sheet, np.ones((_ENLARGED, _ENLARGED, 1), np.uint8))).save(png, "PNG")
    return png.getvalue(), captions

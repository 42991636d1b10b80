"""A family whose images are brought to the shape of the data that they are compared with."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from diffusers import DiffusionPipeline
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ..data.image import Fit, fit_image
from ..diffusion.family import Base, Family


class Fitted:
    """Images of 8 bits that are scaled as `prepare` scales a file with them."""

    def __init__(self, family: Family, fit: Fit) -> None:
        self._family, self._fit = family, fit

    def pipeline(self, base: Base, weights: Mapping[str, Tensor], sampler: str) -> DiffusionPipeline:
        return self._family.pipeline(base, weights, sampler)

    def images(
        self, pipeline: DiffusionPipeline, generators: list[torch.Generator], prompts: Sequence[str] | None, steps: int
    ) -> NDArray[np.float32]:
        made = (self._family.images(pipeline, generators, prompts, steps) * 255).round().astype(np.uint8)
        fitted = [fit_image(Image.fromarray(one[..., 0] if one.shape[2] == 1 else one), self._fit) for one in made]
        return np.stack(fitted).transpose(0, 2, 3, 1).astype(np.float32) / np.float32(255)

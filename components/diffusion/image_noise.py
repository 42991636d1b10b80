"""The noise of images, drawn where it is used: one stream an image, all of a batch at once."""

import math
import sys
from collections.abc import Sequence
from typing import Any

import torch
from diffusers.utils import torch_utils
from torch import Tensor

from ..method.philox import NormalStreams
from ..method.streams import generator_of, key_of

_randn_tensor = torch_utils.randn_tensor
_NAME = "randn_tensor"


class ImageNoise(list[torch.Generator]):
    """What the images of a batch draw from: what a pipeline of diffusers takes for a list of generators.

    diffusers draws in one function, `randn_tensor`. Where it is given this list, the values are those of
    `unecho.components.method.philox`, drawn on the device for all images at once. A pipeline that draws by a torch
    function of its own finds a CPU generator for each image, as a list of generators would give it; it too begins a
    stream of that image alone.
    """

    def __init__(self, stream: str, seed: int, indices: Sequence[int]) -> None:
        """
        Args:
            stream: what the noise is for.
            indices: of the images.
        """
        super().__init__(generator_of(stream, seed, index) for index in indices)
        self._streams = NormalStreams(key_of(stream, seed), indices)
        _draw_by_streams()

    def draw(self, shape: Sequence[int], device: torch.device, dtype: torch.dtype) -> Tensor:
        """The next noise of the images, [B, ...]. Of one image alone, all of the shape."""
        images = shape[0] if len(self) > 1 else 1
        values = self._streams.draw(math.prod(shape) // images, device, images)
        return values.to(dtype).view(*shape)


def _draw_by_streams() -> None:
    """Put `_drawn` into the place of diffusers' function, where modules have it by name and where later ones find it.

    Lists of generators of any other kind are drawn from as ever.
    """
    for name, module in list(sys.modules.items()):
        if name.startswith("diffusers.") and vars(module).get(_NAME) is _randn_tensor:
            setattr(module, _NAME, _drawn)


def _drawn(
    shape: Sequence[int],
    generator: Any = None,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    layout: torch.layout | None = None,
) -> Tensor:
    if not isinstance(generator, ImageNoise) or (dtype is not None and not dtype.is_floating_point):
        drawn: Tensor = _randn_tensor(shape, generator=generator, device=device, dtype=dtype, layout=layout)
        return drawn
    return generator.draw(shape, torch.device(device or "cpu"), dtype or torch.get_default_dtype())

"""What every sample of the data set looks like, and bringing a decoded image to it."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image


class BadImage(Exception):
    """An image that is not taken; the message says why in a few words, without its name."""


@dataclass(frozen=True)
class Fit:
    """Shape of the samples and how images come to it.

    Attributes:
        channels: 1 is grey, 3 is RGB.
        resolution: height and width, pixels.
        resize: `crop`, `squash` or `none`, see data.resize.
        background: grey level behind transparent pixels.
    """

    channels: int
    resolution: int
    resize: Literal["crop", "squash", "none"] = "crop"
    background: int = 255

    @property
    def shape(self) -> tuple[int, int, int]:
        """C, H, W."""
        return self.channels, self.resolution, self.resolution

    @property
    def row_bytes(self) -> int:
        return self.channels * self.resolution**2


def fit_image(image: Image.Image, fit: Fit) -> NDArray[np.uint8]:
    """Bring an opaque grey or RGB image to the data set's shape.

    Args:
        image: mode L or RGB.

    Returns:
        uint8 [C, H, W].

    Raises:
        BadImage: it has another size and data.resize is none.
    """
    image = image.convert("L" if fit.channels == 1 else "RGB")
    size = (fit.resolution, fit.resolution)
    if image.size != size:
        if fit.resize == "none":
            raise BadImage(f"{image.width} x {image.height} pixels, not {size[0]} x {size[1]} (data.resize is none)")
        image = image.resize(size, Image.Resampling.LANCZOS, box=_box(image, fit))
    pixels = np.asarray(image)
    return pixels[None] if fit.channels == 1 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _box(image: Image.Image, fit: Fit) -> tuple[int, int, int, int]:
    """The part that is scaled. Whole pixels: an image of the right height is cut, not blurred by half a pixel."""
    if fit.resize == "squash":
        return 0, 0, image.width, image.height
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return left, top, left + side, top + side

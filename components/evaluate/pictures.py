"""Pictures of the report, as PNG inside the page."""

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def data_uri(image: NDArray[np.uint8], largest: int) -> str:
    """An image as a data: address; pixels stay pixels, a larger image is averaged down.

    Args:
        image: [C, H, W], one channel or three.
        largest: most pixels of its height.
    """
    picture = Image.fromarray(image[0] if len(image) == 1 else np.ascontiguousarray(image.transpose(1, 2, 0)))
    if picture.height > largest:
        width = max(1, round(picture.width * largest / picture.height))
        picture = picture.resize((width, largest), Image.Resampling.BOX)
    png = io.BytesIO()
    picture.save(png, "PNG", compress_level=9)
    return "data:image/png;base64," + base64.b64encode(png.getvalue()).decode()


def split_strip(png: bytes, channels: int) -> NDArray[np.uint8]:
    """The images of a preview strip, uint8 [n, C, H, W]."""
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("L" if channels == 1 else "RGB"))
    strip = pixels.reshape(*pixels.shape[:2], channels).transpose(2, 0, 1)
    height, count = strip.shape[1], strip.shape[2] // strip.shape[1]
    tiles = strip[:, :, : count * height].reshape(channels, height, count, height)
    return np.ascontiguousarray(tiles.transpose(2, 0, 1, 3))

"""Samples that a source holds as plain arrays: no decoding, at most another shape."""

from collections.abc import Callable, Generator, Iterable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unecho.components.dataset.chunk import row_digests
from unecho.components.prepare.fit import BadImage, Fit, fit_image
from unecho.components.prepare.source import Decoded


def decode_arrays(
    read: Callable[[range], NDArray[np.uint8]], wanted: Iterable[range], fit: Fit
) -> Generator[Decoded, None, None]:
    """Bring arrays to the data set's shape.

    Args:
        read: the images of a range, uint8 [n, C, H, W].
    """
    for items in wanted:
        images, bad = read(items), []
        if images.shape[1:] != fit.shape:
            fitted = []
            for item, image in zip(items, images, strict=True):
                try:
                    fitted.append(fit_image(_as_image(image), fit))
                except BadImage as error:
                    bad.append((item, str(error)))
            images = np.stack(fitted) if fitted else np.empty((0, *fit.shape), np.uint8)
        images = np.ascontiguousarray(images)
        yield Decoded(items, images, row_digests(images), bad)


def _as_image(pixels: NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0)))

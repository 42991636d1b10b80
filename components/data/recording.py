"""What a deletion request keeps of an image: digests of its file, and of its pixels in the shapes of data sets."""

import hashlib
from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from .forgotten import Asked, PixelDigest, Resize
from .image import Fit, decode_in_shapes, read_header
from .manifest import DatasetManifest

_SIDES: Final = (28, 32, 64, 128, 256, 512)
"""Pixels: what data sets often have, beside those that a root has already."""
_SCALED: Final[tuple[Resize, ...]] = ("crop", "squash")


def shape_of(manifest: DatasetManifest) -> Fit:
    """The shape of a data set's images, and how they were brought to it."""
    resize, background = manifest.prepare.get("resize", "crop"), manifest.prepare.get("background", 255)
    return Fit(manifest.channels, manifest.resolution, resize, background)


def asked_image(text: str, data: bytes, shapes: Iterable[Fit]) -> Asked:
    """The line of a request that asks for an image by what it holds.

    Args:
        text: its address, as it was given.
        data: its file.
        shapes: those of the data sets of the root; usual ones, and its own size, are added.

    Raises:
        BadImage: unreadable or unsupported.
    """
    header = read_header(data)
    own = (header.shorter,) if header.shorter == header.longer else ()
    usual = [Fit(channels, side, resize) for side in (*_SIDES, *own) for channels in (1, 3) for resize in _SCALED]
    usual += [Fit(channels, side, "none") for side in own for channels in (1, 3)]
    fits = list(dict.fromkeys([*shapes, *usual]))
    images = decode_in_shapes(data, fits)
    pixels = [pixel_digest(image, fit) for image, fit in zip(images, fits, strict=True) if image is not None]
    return Asked(text=text, size=len(data), file=hashlib.sha256(data).hexdigest(), pixels=pixels)


def pixel_digest(image: NDArray[np.uint8], fit: Fit) -> PixelDigest:
    """The digest of an image, [C, H, W], that was brought to a shape."""
    return PixelDigest(
        channels=fit.channels,
        resolution=fit.resolution,
        resize=fit.resize,
        background=fit.background,
        sha256=hashlib.sha256(np.ascontiguousarray(image).data).hexdigest(),
    )

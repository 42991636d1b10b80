"""What every sample of the data set looks like, and bringing a decoded image to it."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError


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


SUFFIXES = frozenset(
    f".{kind}"
    for kind in "png jpg jpeg jpe jfif webp gif bmp tif tiff ppm pgm pbm pnm avif jp2".split()  # noqa: SIM905
)
"""Lower-case name endings of the files that are taken for images."""
Image.init()
_FORMATS = tuple({"PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000"} & Image.OPEN.keys())
"""Pillow's names; no others are tried, since some of its readers start programs (EPS)."""
MAX_PIXELS = 100_000_000
"""Larger images are refused: a small file can claim a size that fills the memory (decompression bomb)."""

_GREY_MODES = frozenset({"1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N"})
_COLOUR_MODES = frozenset({"P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr"})


@dataclass(frozen=True)
class Header:
    """What an image says about itself before it is decoded.

    Attributes:
        grey: it holds no colour by its mode or its palette.
        shorter: its shorter side in pixels.
    """

    grey: bool
    shorter: int


def read_header(data: bytes) -> Header:
    """Look at an image without decoding it.

    Raises:
        BadImage: unreadable or unsupported.
    """
    with _opened(data) as image:
        return Header(_is_grey(image), min(image.size))


def decode(data: bytes, fit: Fit) -> NDArray[np.uint8]:
    """Decode an image file: upright by its EXIF orientation, opaque on the background, 8 bits, in the right shape.

    Colour profiles are not applied.

    Returns:
        uint8 [C, H, W].

    Raises:
        BadImage: unreadable or unsupported.
    """
    with _opened(data) as image:
        image.load()
        upright = ImageOps.exif_transpose(image)
        return fit_image(_flat(upright, image.format, fit.background), fit)


@contextmanager
def _opened(data: bytes) -> Iterator[Image.Image]:
    """An image of a supported kind; what goes wrong with it inside the block becomes `BadImage`."""
    if not data:
        raise BadImage("an empty file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about odd metadata, and a size that is checked below
            with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
                _check_supported(image)
                yield image
    except (BadImage, MemoryError):
        raise
    except UnidentifiedImageError:
        raise BadImage("not an image of a supported format") from None
    except Image.DecompressionBombError:
        raise BadImage(f"more than {MAX_PIXELS:,} pixels") from None
    except Exception as error:  # Pillow's readers raise errors of any kind on broken files
        raise BadImage(" ".join(str(error).split()) or type(error).__name__) from None


def _check_supported(image: Image.Image) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise BadImage(f"{image.width} x {image.height} pixels, more than {MAX_PIXELS:,}")
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":  # an MPO is a photograph with extras behind it
        raise BadImage(f"{frames} frames or pages, one is supported")
    if image.mode not in _GREY_MODES | _COLOUR_MODES or (image.mode == "I" and image.format not in ("PNG", "PPM")):
        raise BadImage(f"pixels of kind {image.mode} are not supported")


def _is_grey(image: Image.Image) -> bool:
    if image.mode == "P":
        palette = np.array(image.getpalette("RGB") or [], np.uint8).reshape(-1, 3)
        return bool((palette == palette[:, :1]).all())
    return image.mode in _GREY_MODES


def _flat(image: Image.Image, format: str | None, background: int) -> Image.Image:
    """An opaque image of mode L or RGB.

    Args:
        format: of the file; a 16-bit grey image of some formats arrives in 32 bits.
    """
    if image.mode.startswith("I"):
        image = _eight_bits(image)
    elif image.mode == "La":
        image = image.convert("LA")
    if image.has_transparency_data:
        back = Image.new("RGBA", image.size, (background, background, background, 255))
        return Image.alpha_composite(back, image.convert("RGBA")).convert("RGB")
    return image if image.mode == "L" else image.convert("L" if image.mode == "1" else "RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """16-bit grey as 8-bit grey: 65535 becomes 255, rounded; Pillow's own conversion clips."""
    deep = np.asarray(image).astype(np.uint32)
    grey = Image.fromarray(((deep + 128) // 257).astype(np.uint8))
    clear = image.info.get("transparency")
    if isinstance(clear, int):  # the one grey level that is transparent
        grey.putalpha(Image.fromarray(np.where(deep == clear, 0, 255).astype(np.uint8)))
    return grey

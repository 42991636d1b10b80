"""What every sample of the data set looks like, and bringing a decoded image to it."""

import io
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin, UnidentifiedImageError

from .bare import without_metadata
from .file_kinds import HEAD, kind_of

T = TypeVar("T")


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
_II, _MM = TiffImagePlugin.II, TiffImagePlugin.MM
for _order, _photometric, _bits, _modes in (  # grey that Pillow can read, and does not know by its tags
    (_II, 0, 12, ("I;16", "I;12")),
    (_MM, 0, 12, ("I;16", "I;12")),
    (_MM, 1, 12, ("I;16", "I;12")),
    (_MM, 0, 16, ("I;16B", "I;16B")),
):
    TiffImagePlugin.OPEN_INFO.setdefault((_order, _photometric, (1,), 1, (_bits,), ()), _modes)
MAX_PIXELS = 100_000_000
"""Larger images are refused: a small file can claim a size that fills the memory (decompression bomb)."""

_GREY_MODES = frozenset({"1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N"})
_COLOUR_MODES = frozenset({"P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr"})


@dataclass(frozen=True)
class Header:
    """What an image says about itself before it is decoded.

    Attributes:
        grey: it holds no colour by its mode or its palette.
        shorter, longer: its sides in pixels.
    """

    grey: bool
    shorter: int
    longer: int


def read_header(data: bytes) -> Header:
    """Look at an image without decoding it.

    Raises:
        BadImage: unreadable or unsupported.
    """
    return _tried(data, _header)


def decode(data: bytes, fit: Fit) -> NDArray[np.uint8]:
    """Decode an image file: upright by its EXIF orientation, opaque on the background, 8 bits, in the right shape.

    Colour profiles are not applied. Metadata that cannot be read do not matter.

    Returns:
        uint8 [C, H, W].

    Raises:
        BadImage: unreadable or unsupported.
    """
    return _tried(data, lambda given: _decoded(given, fit))


def decode_in_shapes(data: bytes, fits: Sequence[Fit]) -> list[NDArray[np.uint8] | None]:
    """What `decode` gives in each of several shapes, the file being read once; None where it is not taken in one.

    Raises:
        BadImage: unreadable or unsupported.
    """

    def read(given: bytes) -> list[NDArray[np.uint8] | None]:
        with _opened(given) as image:
            depth = grey_depth(image, given)
            image.load()
            upright = _upright(image)
            return [_fitted(_flat(upright, depth, fit.background), fit) for fit in fits]

    return _tried(data, read)


def _fitted(image: Image.Image, fit: Fit) -> NDArray[np.uint8] | None:
    try:
        return fit_image(image, fit)
    except BadImage:
        return None


def _tried(data: bytes, read: Callable[[bytes], T]) -> T:
    """Read an image; one that fails is read once more without the metadata that nobody needs here."""
    try:
        return read(data)
    except BadImage:
        bare = without_metadata(data)
        if bare is None:
            raise
        with suppress(BadImage):
            return read(bare)
        raise


def _header(data: bytes) -> Header:
    with _opened(data) as image:
        return Header(_is_grey(image), min(image.size), max(image.size))


def _decoded(data: bytes, fit: Fit) -> NDArray[np.uint8]:
    with _opened(data) as image:
        depth = grey_depth(image, data)
        image.load()
        return fit_image(_flat(_upright(image), depth, fit.background), fit)


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
        kind = kind_of(data[:HEAD])
        raise BadImage(f"not an image of a supported format{f', but {kind}' if kind else ''}") from None
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


_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF 2.3, tag 0x0112, to what brings the image upright."""


def _upright(image: Image.Image) -> Image.Image:
    """Only the orientation is read of EXIF; Pillow's own function also writes EXIF anew, which fails on odd ones."""
    try:
        turn = _UPRIGHT.get(image.getexif().get(0x0112, 1))
    except Exception:  # Pillow's reader raises errors of any kind on broken EXIF
        return image
    return image if turn is None else image.transpose(turn)


@dataclass(frozen=True)
class Depth:
    """How the grey levels of a file stand to those that Pillow gives.

    Attributes:
        white: the level that is white, before it is brought to 8 bits.
        inverted: 0 is white.
        clear: the one level that is transparent, by a PNG's tRNS; None for none.
    """

    white: int = 65535
    inverted: bool = False
    clear: int | None = None


def grey_depth(image: Image.Image, data: bytes) -> Depth:
    """What a file says about its grey levels, and Pillow does not apply.

    Pillow leaves 12-bit TIFF at 0..4095, does not invert 12 and 16 bits (TIFF 6.0, PhotometricInterpretation 0), and
    compares a PNG's transparent level with pixels that it has scaled from 1, 2 or 4 bits.
    """
    if image.format == "TIFF" and image.mode.startswith("I;16"):
        tags: Any = image.tag_v2  # type: ignore[attr-defined]
        bits = tags.get(258, (16,))
        bits = bits[0] if isinstance(bits, tuple) else bits
        return Depth(white=2**bits - 1, inverted=tags.get(262) == 0)
    clear = image.info.get("transparency")
    if image.format == "PNG":
        bits = data[24]  # of IHDR, which is the first chunk
        if isinstance(clear, int) and image.mode in ("1", "L", "I;16"):
            levels = {1: 255 * (clear > 0), 16: clear}  # of 1 bit some Pillows have scaled it, and some have not
            return Depth(clear=levels.get(bits, clear * 255 // (2**bits - 1)))
        if isinstance(clear, tuple) and bits == 16:  # Pillow keeps the upper bytes of the pixels
            image.info["transparency"] = tuple(level >> 8 for level in clear)
    return Depth()


def _flat(image: Image.Image, depth: Depth, background: int) -> Image.Image:
    """An opaque image of mode L or RGB."""
    if image.mode.startswith("I"):
        image = _eight_bits(image, depth)
    elif depth.clear is not None:
        image = _with_alpha(image.convert("L"), np.asarray(image.convert("L")) == depth.clear)
    elif image.mode == "La":
        image = image.convert("LA")
    if image.has_transparency_data:
        back = Image.new("RGBA", image.size, (background, background, background, 255))
        return Image.alpha_composite(back, image.convert("RGBA")).convert("RGB")
    return image if image.mode == "L" else image.convert("L" if image.mode == "1" else "RGB")


def _eight_bits(image: Image.Image, depth: Depth) -> Image.Image:
    """Deep grey as 8-bit grey: white becomes 255, rounded; Pillow's own conversion clips."""
    deep = np.asarray(image).astype(np.uint32)
    level = np.minimum(deep, depth.white)
    if depth.inverted:
        level = depth.white - level
    grey = Image.fromarray(((level * 255 + depth.white // 2) // depth.white).astype(np.uint8))
    return grey if depth.clear is None else _with_alpha(grey, deep == depth.clear)


def _with_alpha(grey: Image.Image, clear: NDArray[np.bool_]) -> Image.Image:
    opaque = grey.copy()
    opaque.info.pop("transparency", None)
    opaque.putalpha(Image.fromarray(np.where(clear, 0, 255).astype(np.uint8)))
    return opaque

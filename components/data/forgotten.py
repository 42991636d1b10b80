"""What deletion requests ask to leave out of data sets, and what was left out of one."""

from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from .image import Fit

Resize = Literal["crop", "squash", "none"]


class PixelDigest(BaseModel):
    """An image as it stands in data sets of one shape; the fields are those of `Fit`."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    channels: int
    resolution: int
    resize: Resize
    background: int
    sha256: str
    """Of its pixels, hexadecimal."""

    def fits(self, fit: Fit) -> bool:
        """Whether it is of that shape, brought to it in that way."""
        mine = (self.channels, self.resolution, self.resize, self.background)
        return mine == (fit.channels, fit.resolution, fit.resize, fit.background)


class Asked(BaseModel):
    """One line of a request: a sample by its name, or an image by what it holds.

    Of an image nothing is kept but digests, so that a request does not keep what it asks to remove.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    text: str
    """As it was given: the key of a source object (with the number in it), or the address of an image."""
    keys: list[str] = Field(default_factory=list)
    """Further keys that it means, where it was given as an address below a source."""
    size: int | None = None
    """Bytes of the image's file; None where there was none to be read."""
    file: str | None = None
    """SHA-256 of these bytes, hexadecimal."""
    pixels: list[PixelDigest] = Field(default_factory=list)
    """The image in the shapes that data sets had when it was recorded."""


class Numbered(NamedTuple):
    """A line, and the number of the request that it stands in."""

    request: int
    asked: Asked


class LeftOut(BaseModel):
    """A sample of a source that is not in the data set."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    """Key of its source object, with its number where the object holds many."""
    request: int
    """The first that asks for it."""
    by: Literal["name", "file", "pixels"]
    """What was equal: its name, its file's bytes, or its pixels (to those of an image that is asked for)."""
    pixels: str | None
    """SHA-256 of its pixels in the shape of the data set, hexadecimal; None of an image that could not be read."""

"""From a source to a packed data set; and the same in numbers, without decoding, for a dry run."""

from dataclasses import dataclass

from unecho.components.config.fields import Data
from unecho.components.data.sources.layouts import open_source
from unecho.components.data.split import check_split


@dataclass(frozen=True)
class Survey:
    """What prepare would make of a source whose images are all good and all different.

    Attributes:
        resolution: height and width, pixels.
    """

    train_samples: int
    held_out_samples: int
    channels: int
    resolution: int


def survey(data: Data) -> Survey:
    """List the source, and look into it where a field is `auto`.

    Raises:
        Fatal: it does not exist, holds nothing, is not of its layout, or leaves nothing to train on.
    """
    source = open_source(data)
    native = source.native() if "auto" in (data.channels, data.resolution) else (0, 0)
    held_out = max(1, round(data.held_out * source.count)) if data.held_out else 0
    train = source.count - held_out
    train, held_out = min(train, data.train_limit or train), min(held_out, data.held_out_limit or held_out)
    check_split(source.count, train, held_out, data)
    return Survey(
        train_samples=train,
        held_out_samples=held_out,
        channels=native[0] if data.channels == "auto" else data.channels,
        resolution=native[1] if data.resolution == "auto" else data.resolution,
    )

"""Channels and resolution where they are `auto`, by the headers of some images."""

from statistics import median_low

import numpy as np
from numpy.typing import NDArray

from ...failure import Fatal
from ...store import Store
from ..decoding import MOST_AHEAD, read_ahead
from ..image import BadImage, read_header
from .source import Place

_LOOKED_AT = 1000
_RESOLUTIONS = (128, 64, 32)


def spread_items(folder_of: NDArray[np.int32]) -> list[int]:
    """The images to look at: spread over the whole source, and one of each folder.

    Args:
        folder_of: int32 [count], the number of each image's folder.
    """
    count = len(folder_of)
    spread = np.linspace(0, count - 1, min(count, _LOOKED_AT)).astype(np.int64)
    of_folders = np.unique(folder_of, return_index=True)[1]
    of_folders = of_folders[np.linspace(0, len(of_folders) - 1, min(len(of_folders), _LOOKED_AT)).astype(np.int64)]
    items: list[int] = np.union1d(spread, of_folders).tolist()
    return items


def auto_shape(store: Store, places: list[Place], addresses: list[str], own: bool = False) -> tuple[int, int]:
    """Channels, grey when all of these images are, and the largest resolution that the median one fills.

    Args:
        addresses: of the images, for messages.
        own: take their own size in its place where all are square and of one.

    Raises:
        Fatal: none of them can be read.
    """
    headers, first_bad = [], ""
    for address, data in zip(addresses, read_ahead(store, places, MOST_AHEAD), strict=True):
        try:
            headers.append(read_header(data))
        except BadImage as error:
            first_bad = first_bad or f"{address}: {error}"
    if not headers:
        raise Fatal(f"data.source: none of the {len(places)} images looked at can be read; {first_bad}")
    shorter = median_low([header.shorter for header in headers])
    resolution = next((side for side in _RESOLUTIONS if shorter >= side), _RESOLUTIONS[-1])
    if own and {side for header in headers for side in (header.shorter, header.longer)} == {shorter}:
        resolution = shorter
    return 1 if all(header.grey for header in headers) else 3, resolution

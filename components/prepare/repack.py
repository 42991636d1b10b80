"""Drop the rows that the limits leave out."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from unecho.components.dataset import ChunkRef
from unecho.components.dataset.chunk import chunk_images, put_chunk
from unecho.components.prepare.fit import Fit
from unecho.components.store import Store, fetch


def repack(store: Store, staged: list[ChunkRef], kept: NDArray[np.bool_], fit: Fit, rows: int) -> list[ChunkRef]:
    """Write the kept rows of staged chunks as chunks of `rows` rows, one staged chunk in memory at a time.

    Args:
        kept: bool [n] over the rows of all staged chunks.
    """
    chunks, buffer, filled = [], np.empty((rows, *fit.shape), np.uint8), 0
    for images in _kept_rows(store, staged, kept, fit):
        while len(images):
            taken = min(len(images), rows - filled)
            buffer[filled : filled + taken] = images[:taken]
            filled, images = filled + taken, images[taken:]
            if filled == rows:
                chunks.append(put_chunk(store, buffer))
                filled = 0
    if filled:
        chunks.append(put_chunk(store, buffer[:filled]))
    return chunks


def _kept_rows(store: Store, staged: list[ChunkRef], kept: NDArray[np.bool_], fit: Fit) -> Iterator[NDArray[np.uint8]]:
    top = 0
    for chunk in staged:
        mask = kept[top : top + chunk.rows]
        top += chunk.rows
        if mask.any():
            yield chunk_images(fetch(store, chunk.object), chunk, fit.shape)[mask]

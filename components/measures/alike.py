"""Components of the graph that joins images which are alike, in blocks of bounded memory.

Distances are exact, as in `neighbours`: whole numbers below 2^24 in float32, wider images in spans added in float64.
"""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from .exact import exact
from .images import Images

_SPAN = 1024
_PANEL_BYTES, _BLOCK_BYTES, _BLOCK_ROWS = 256 << 20, 64 << 20, 2048


def mean_distance(images: Images) -> float:
    """Mean squared distance between two of at least two images, grey levels."""
    count, squares, total = len(images), 0, np.zeros(1, np.int64)
    for _, block in _blocks(images, 0, count):
        flat = block.reshape(len(block), -1).astype(np.int64)
        total = total + flat.sum(axis=0)
        squares += int(np.square(flat).sum())
    between = sum(value**2 for value in total.tolist())
    return 2 * (count * squares - between) / (count * (count - 1))


@exact()
def components(images: Images, limit: float, device: torch.device) -> NDArray[np.int64]:
    """Components of the graph of pairs whose squared distance is at most `limit`.

    Each image is read once for each panel of images that fits 256 MiB as float32.

    Returns:
        int64 [n], the same number for the images of a component.
    """
    count = len(images)
    component = np.arange(count)
    width = images.take(np.arange(min(1, count))).size
    panel_rows = max(1, _PANEL_BYTES // (4 * max(1, width)))
    for top in range(0, count, panel_rows):
        panel = [(first, _centre(block, device)) for first, block in _blocks(images, top, min(count, top + panel_rows))]
        for start, block in _blocks(images, top, count):
            others = _centre(block, device)
            for first, some in panel:
                if first <= start:
                    row, column = (_distances(some, others) <= limit).nonzero(as_tuple=True)
                    pairs = (row.cpu().numpy() + first, column.cpu().numpy() + start)
                    component = _joined(component, *pairs)
    return component


def _joined(component: NDArray[np.int64], a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
    """The components after an edge from each of `a` to its partner of `b`."""
    a, b = component[a], component[b]
    apart = a != b
    if not apart.any():
        return component
    count = len(component)
    edges = np.unique(np.stack([a[apart], b[apart]]), axis=1)
    graph = coo_array((np.ones(edges.shape[1], np.bool_), (edges[0], edges[1])), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1][component], np.int64)


def _distances(a: Tensor, b: Tensor) -> Tensor:
    """Squared distances of all pairs, float64 [len(a), len(b)]."""
    found = torch.zeros(len(a), len(b), dtype=torch.float64, device=a.device)
    for left in range(0, a.shape[1], _SPAN):
        one, other = a[:, left : left + _SPAN], b[:, left : left + _SPAN]
        found.add_((one @ other.T).double(), alpha=-2)
        found += one.square().sum(dim=1).double()[:, None] + other.square().sum(dim=1).double()
    return found


def _centre(images: NDArray[np.uint8], device: torch.device) -> Tensor:
    return torch.from_numpy(images).to(device).flatten(1).float().sub_(128.0)


def _blocks(images: Images, start: int, stop: int) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    width = images.take(np.arange(start, min(start + 1, stop))).size
    rows = max(1, min(_BLOCK_ROWS, _BLOCK_BYTES // (8 * max(1, width))))
    for first in range(start, stop, rows):
        yield first, images.take(np.arange(first, min(first + rows, stop)))

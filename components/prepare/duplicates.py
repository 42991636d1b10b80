"""Exact duplicates: samples whose pixels are equal."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from unecho.components.dataset import Duplicates

_GROUPS = 10
_NAMES = 5


def find_duplicates(row_digest: NDArray[np.uint64], name: Callable[[int], str]) -> Duplicates:
    """Count the sets of equal samples and name the first ones.

    Args:
        row_digest: [N], equal for equal pixels.
        name: of a row.
    """
    order = np.argsort(row_digest, kind="stable")
    ordered = row_digest[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    sizes = np.diff(np.concatenate([starts, [len(ordered)]]))
    starts, sizes = starts[sizes > 1], sizes[sizes > 1]
    first_row = order[starts]  # the sort is stable: a set's first row comes first
    first = [
        [name(int(row)) for row in order[starts[group] : starts[group] + min(sizes[group], _NAMES)]]
        for group in np.argsort(first_row)[:_GROUPS]
    ]
    return Duplicates(groups=len(starts), samples=int(sizes.sum()), first=first)

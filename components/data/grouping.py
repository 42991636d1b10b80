"""Which samples are never parted by the split: equal ones, near duplicates, of a folder, of a value."""

import posixpath
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ..config.fields import Data
from ..failure import Fatal
from .near_duplicates import Readable, near_groups

_NAMED, _NAMES = 3, 5


@dataclass(frozen=True)
class Grouping:
    """Groups of n samples.

    Attributes:
        number: int64 [n], the same for the samples of a group.
        notes: what a user should know, a line each.
    """

    number: NDArray[np.int64]
    notes: list[str]


def group_samples(
    images: Readable,
    digests: NDArray[np.uint8],
    name: Callable[[int], str],
    data: Data,
    column: NDArray[np.int64] | None = None,
    on_progress: Callable[[int, int], None] = lambda done, of: None,
) -> Grouping:
    """Group the samples as data.near_duplicate, data.split_by and data.split_column want it.

    Args:
        digests: uint8 [n, 32], SHA-256 of each one's pixels.
        name: of a sample, its folder in front.
        column: int64 [n], the same for samples with one value of data.split_column, -1 for none.

    Raises:
        Fatal: data.split_by folder, and all samples lie in one folder; or data.split_column, and all have one value.
    """
    _, first, equal = np.unique(digests, axis=0, return_index=True, return_inverse=True)
    equal = equal.reshape(-1).astype(np.int64)
    joined, notes = [equal], list[str]()
    if data.split_by != "none" and data.near_duplicate and len(first) > 1:
        rows = np.sort(first).astype(np.int64)
        near = near_groups(images, rows, data.near_duplicate, on_progress)
        place = np.empty(len(first), np.int64)
        place[equal[rows]] = near
        joined.append(place[equal])
        notes += _near_notes(rows, near, place[equal], name)
    if data.split_by == "folder":
        folder = _folders(len(digests), name)
        if data.held_out and len(digests) > 1 and not folder.any():
            raise Fatal(
                f"data.split_by: folder: all {len(digests)} images lie in one folder: set data.split_by=auto, or "
                "give each group of images (a patient, a burst) a folder of its own"
            )
        joined.append(folder)
        notes.append(f"{int(folder.max(initial=-1)) + 1} folders: none is on both sides of the split")
    if column is not None:
        values = column.copy()
        alone = column < 0
        values[alone] = column.max(initial=-1) + 1 + np.arange(int(alone.sum()))
        if data.held_out and len(digests) > 1 and len(np.unique(values)) == 1:
            raise Fatal(
                f"data.split_column: {data.split_column}: all {len(digests)} images have one value: name a column that "
                "tells them apart, or leave it out"
            )
        joined.append(values)
        found = f"{len(np.unique(column[~alone]))} values of {data.split_column}: none is on both sides of the split"
        notes.append(f"{found}; {int(alone.sum())} images have none" if alone.any() else found)
    number = _united(joined)
    if len(joined) > 1 and len(number) and (largest := int(np.bincount(number).max())) > len(number) / 2:
        notes.append(
            f"{largest} of {len(number)} samples are one group, which the split does not part: "
            "lower data.near_duplicate where they are not alike"
        )
    return Grouping(number, notes)


def _united(labels: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Numbers that are the same for samples which a chain of equal labels joins."""
    count, base, edges = len(labels[0]), len(labels[0]), []
    for label in labels:
        edges.append(base + label)
        base += int(label.max(initial=-1)) + 1
    row, column = np.tile(np.arange(count), len(labels)), np.concatenate(edges)
    graph = coo_array((np.ones(len(row), np.bool_), (row, column)), shape=(base, base))
    _, number = connected_components(graph, directed=False)
    return np.asarray(number[:count], np.int64)


def _folders(count: int, name: Callable[[int], str]) -> NDArray[np.int64]:
    numbers = dict[str, int]()
    return np.fromiter(
        (numbers.setdefault(posixpath.dirname(name(sample)), len(numbers)) for sample in range(count)), np.int64, count
    )


def _near_notes(
    rows: NDArray[np.int64], near: NDArray[np.int64], of_each: NDArray[np.int64], name: Callable[[int], str]
) -> list[str]:
    """How many samples have a near duplicate that is no equal one, and who the first ones are.

    Args:
        rows: one sample of each set of equal ones; `near`: its group; `of_each`: the group of each sample.
    """
    distinct, samples = (np.bincount(some, minlength=len(rows)) for some in (near, of_each))
    groups = np.flatnonzero(distinct > 1)
    if not len(groups):
        return []
    named = "; ".join(" = ".join(name(int(row)) for row in rows[near == group][:_NAMES]) for group in groups[:_NAMED])
    sizes, more = samples[groups], "; ..." if len(groups) > _NAMED else ""
    return [
        f"{int(sizes.sum())} samples are near duplicates, in {len(groups)} groups, {int(sizes.max())} in the largest; "
        f"each group is on one side of the split: {named}{more}"
    ]

"""Which samples are never parted by the split: equal ones, near duplicates, of a folder, a value, a caption."""

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
        alike: int64 [n], the same for equal images and, where the split heeds them, near duplicates.
        notes: what a user should know, a line each.
    """

    number: NDArray[np.int64]
    alike: NDArray[np.int64]
    notes: list[str]


def group_samples(
    images: Readable,
    digests: NDArray[np.uint8],
    name: Callable[[int], str],
    data: Data,
    column: NDArray[np.int64] | None = None,
    captions: NDArray[np.int64] | None = None,
    on_progress: Callable[[int, int], None] = lambda done, of: None,
) -> Grouping:
    """Group the samples as data.near_duplicate, data.split_by and data.split_column want it.

    Args:
        digests: uint8 [n, 32], SHA-256 of each one's pixels.
        name: of a sample, its folder in front.
        column: int64 [n], the same for samples with one value of data.split_column, -1 for none.
        captions: int64 [n], the same for samples with equal captions, -1 for none.

    Raises:
        Fatal: data.split_by or data.split_column does not tell samples apart: all lie in one folder, have one value or
            one caption, or none has a caption.
    """
    _, first, equal = np.unique(digests, axis=0, return_index=True, return_inverse=True)
    equal = equal.reshape(-1).astype(np.int64)
    labels, notes = [equal], list[str]()
    if data.split_by != "none" and data.near_duplicate and len(first) > 1:
        rows = np.sort(first).astype(np.int64)
        near = near_groups(images, rows, data.near_duplicate, on_progress)
        place = np.empty(len(first), np.int64)
        place[equal[rows]] = near
        labels.append(place[equal])
        notes += _near_notes(rows, near, place[equal], name)
    alike = labels[-1]
    if data.split_by == "folder":
        folder = _folders(len(digests), name)
        if data.held_out and len(digests) > 1 and not folder.any():
            raise Fatal(
                f"data.split_by: folder: all {len(digests)} images lie in one folder: set data.split_by=auto, or "
                "give each group of images (a patient, a burst) a folder of its own"
            )
        labels.append(folder)
        notes.append(f"{int(folder.max(initial=-1)) + 1} folders: none is on both sides of the split")
    if column is not None:
        values, alone = apart(column), column < 0
        if data.held_out and len(digests) > 1 and len(np.unique(values)) == 1:
            raise Fatal(
                f"data.split_column: {data.split_column}: all {len(digests)} images have one value: name a column that "
                "tells them apart, or leave it out"
            )
        labels.append(values)
        found = f"{len(np.unique(column[~alone]))} values of {data.split_column}: none is on both sides of the split"
        notes.append(f"{found}; {int(alone.sum())} images have none" if alone.any() else found)
    if data.split_by == "caption":
        labels.append(_by_caption(captions, data))
        notes.append("samples with equal captions are on one side of the split")
    number = _united(labels)
    if len(labels) > 1 and len(number) and (largest := int(np.bincount(number).max())) > len(number) / 2:
        notes.append(
            f"{largest} of {len(number)} samples are one group, which the split does not part: "
            f"{'set data.split_by=auto' if data.split_by == 'caption' else 'lower data.near_duplicate'} where they are "
            "not alike"
        )
    return Grouping(number, alike, notes)


def _by_caption(captions: NDArray[np.int64] | None, data: Data) -> NDArray[np.int64]:
    if captions is None or not (captions >= 0).any():
        raise Fatal("data.split_by: caption: no image has a caption: set data.split_by=auto")
    values = apart(captions)
    if data.held_out and len(values) > 1 and len(np.unique(values)) == 1:
        raise Fatal(
            f"data.split_by: caption: equal captions join all {len(values)} images, and groups are not split: "
            "set data.split_by=auto"
        )
    return values


def apart(group: NDArray[np.int64]) -> NDArray[np.int64]:
    """Numbers of groups, where -1 is for none: each sample of these is a group by itself."""
    values, alone = group.copy(), group < 0
    values[alone] = group.max(initial=-1) + 1 + np.arange(int(alone.sum()))
    return values


def joined(count: int, samples: NDArray[np.int64], values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Numbers that are the same for samples which a chain of equal values joins.

    Args:
        count: of samples.
        samples, values: int64 [e], sample samples[i] has the value values[i], from 0; it may have several, or none.
    """
    nodes = count + int(values.max(initial=-1)) + 1
    edges = (np.ones(len(samples), np.bool_), (samples, count + values))
    _, number = connected_components(coo_array(edges, shape=(nodes, nodes)), directed=False)
    return np.asarray(number[:count], np.int64)


def _united(labels: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Numbers that are the same for samples which a chain of equal labels joins."""
    count, base, values = len(labels[0]), 0, []
    for label in labels:
        values.append(base + label)
        base += int(label.max(initial=-1)) + 1
    return joined(count, np.tile(np.arange(count), len(labels)), np.concatenate(values))


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

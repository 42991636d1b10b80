"""Samples that are alike: by pixels, by image, by caption, or by both (Somepalli et al., arXiv 2305.20086)."""

import hashlib
from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from .grouping import apart, joined
from .manifest import CaptionDuplicates, Duplicates

_GROUPS = 10
_NAMES = 5
_GROUPS_TOLD = 3


def find_duplicates(number: NDArray[np.uint64] | NDArray[np.int64], name: Callable[[int], str]) -> Duplicates:
    """Count the sets of samples that are alike and name the first ones.

    Args:
        number: [N], equal for samples that are alike.
        name: of a row.
    """
    order = np.argsort(number, kind="stable")
    ordered = number[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    sizes = np.diff(np.concatenate([starts, [len(ordered)]]))
    starts, sizes = starts[sizes > 1], sizes[sizes > 1]
    first_row = order[starts]  # the sort is stable: a set's first row comes first
    first = [
        [name(int(row)) for row in order[starts[group] : starts[group] + min(sizes[group], _NAMES)]]
        for group in np.argsort(first_row)[:_GROUPS]
    ]
    return Duplicates(groups=len(starts), samples=int(sizes.sum()), first=first)


def caption_groups(captions: Iterable[tuple[str, ...]]) -> NDArray[np.int64]:
    """Groups of samples that a chain of equal captions joins; case and blanks, which CLIP's tokenizer takes no notice
    of either, do not tell captions apart.

    Args:
        captions: of each of n samples.

    Returns:
        int64 [n], the same number for the samples of a group, -1 for those without a caption.
    """
    samples, numbers, seen, count = list[int](), list[int](), dict[bytes, int](), 0
    for sample, texts in enumerate(captions):
        count += 1
        for text in texts:
            plain = " ".join(text.casefold().split()).encode("utf-8", "surrogatepass")
            digest = hashlib.blake2b(plain, digest_size=8).digest()
            samples.append(sample)
            numbers.append(seen.setdefault(digest, len(seen)))
    group = joined(count, np.array(samples, np.int64), np.array(numbers, np.int64))
    without = np.ones(count, np.bool_)
    without[samples] = False
    group[without] = -1
    return group


def find_caption_duplicates(
    image: NDArray[np.int64], caption: NDArray[np.int64], name: Callable[[int], str]
) -> CaptionDuplicates:
    """Count the samples that are alike in image and caption, or in one of the two alone.

    Args:
        image: int64 [N], the same for equal and near-duplicate images.
        caption: int64 [N], the same for equal captions, -1 for none.
        name: of a row.
    """
    _, image = np.unique(image, return_inverse=True)
    _, caption = np.unique(apart(caption), return_inverse=True)
    pairs, pair = np.unique(np.stack([image, caption], axis=1), axis=0, return_inverse=True)

    def found(number: NDArray[np.int64], several: NDArray[np.bool_]) -> Duplicates:
        rows = np.flatnonzero(several[number])
        return find_duplicates(number[rows], lambda place: name(int(rows[place])))

    return CaptionDuplicates(
        image_only=found(image, np.bincount(pairs[:, 0]) > 1),
        caption_only=found(caption, np.bincount(pairs[:, 1]) > 1),
        both=find_duplicates(pair.reshape(-1), name),
    )


def duplicate_notes(equal: Duplicates, kinds: CaptionDuplicates | None, prompts_known: int) -> list[str]:
    """What a user should know about them, a line each.

    Args:
        equal: samples with the same pixels.
        kinds: None where no sample has a caption.
        prompts_known: held-out samples with a caption that a training sample has as well.
    """
    notes = []
    if equal.groups:
        notes.append(f"{equal.samples} samples are exact duplicates, in {_told(equal)}")
    if kinds is None:
        return notes
    if kinds.both.groups:
        notes.append(f"{kinds.both.samples} samples are duplicates in image and caption, in {_told(kinds.both)}")
    if (some := kinds.image_only).groups:
        notes.append(f"{some.samples} samples are duplicates in image alone, their captions differ, in {_told(some)}")
    if (some := kinds.caption_only).groups:
        across = f"; {prompts_known} held-out samples have a training sample's caption: see data.split_by=caption"
        notes.append(
            f"{some.samples} samples are duplicates in caption alone, their images differ, in {_told(some)}"
            f"{across if prompts_known else ''}"
        )
    return notes


def _told(duplicates: Duplicates) -> str:
    named = "; ".join(" = ".join(group) for group in duplicates.first[:_GROUPS_TOLD])
    return f"{duplicates.groups} sets: {named}{'; ...' if duplicates.groups > _GROUPS_TOLD else ''}"

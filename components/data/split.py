"""Which samples are held out, and which are left out."""

import hashlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..config.fields import Data
from ..failure import Fatal


def split_samples(
    digests: NDArray[np.uint8], data: Data, test: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Split off the held-out part and apply the limits.

    The choice depends on each sample's pixels and data.split_seed alone, so exact duplicates fall on one side
    and adding an image moves few others. Of n samples round(held_out * n) are held out, at least one; fewer only
    where sets of duplicates leave no way to reach that count.

    Args:
        digests: uint8 [n, 32], SHA-256 of each sample's pixels.
        test: bool [n], the samples of an official test file: they are the held-out ones then, and no other.

    Returns:
        kept bool [n] (within the limits), held_out bool [n].

    Raises:
        Fatal: no training image is left, or fewer than 2 held-out ones.
    """
    count = len(digests)
    rank = _ranks(digests, data.split_seed)
    order = np.argsort(rank, kind="stable")
    held_out = np.zeros(count, np.bool_) if test is None else test
    target = max(1, round(data.held_out * count)) if data.held_out and test is None else 0
    for first, size in _chosen_groups(rank[order], target):
        held_out[order[first : first + size]] = True
    kept = np.zeros(count, np.bool_)
    for limit, side in ((data.train_limit, ~held_out), (data.held_out_limit, held_out)):
        kept[order[side[order]][:limit]] = True
    check_split(count, int((kept & ~held_out).sum()), int((kept & held_out).sum()), data)
    return kept, held_out


def _ranks(digests: NDArray[np.uint8], seed: int) -> NDArray[np.uint64]:
    """First 8 bytes of SHA-256(seed, pixel digest): equal for equal pixels, else as good as random."""
    prefix = hashlib.sha256(f"split {seed} ".encode())
    ranks = np.empty(len(digests), np.uint64)
    for row, digest in enumerate(digests):
        hashed = prefix.copy()
        hashed.update(digest.data)
        ranks[row] = int.from_bytes(hashed.digest()[:8], "big")
    return ranks


def _chosen_groups(ranks: NDArray[np.uint64], target: int) -> Iterator[tuple[int, int]]:
    """Stretches of sets of equal ranks, from the lowest on, that together hold `target` samples: (first place, size).

    A set that would be too much is passed over.

    Args:
        ranks: ascending.
    """
    starts = np.flatnonzero(np.concatenate([[True], ranks[1:] != ranks[:-1]]))
    ends = np.concatenate([starts[1:], [len(ranks)]])
    fitting = int(np.searchsorted(ends, target, "right"))  # so many sets fit one after another
    reached = int(ends[fitting - 1]) if fitting else 0
    yield 0, reached
    for group in range(fitting, len(starts)):
        if reached == target:
            return
        size = int(ends[group] - starts[group])
        if reached + size <= target:
            reached += size
            yield int(starts[group]), size


def check_split(count: int, train: int, held_out: int, data: Data) -> None:
    """Raises `Fatal` where nothing is left to train on, or too little to compare with."""
    if data.official_test and (not train or held_out < 2):
        raise Fatal(
            f"data.official_test: the test file's records leave {train} of {count} images to train on and {held_out} "
            "held out, at least 1 and 2 are needed: set data.official_test=false, or mend the limits"
        )
    if not train:
        raise Fatal(f"data.held_out: {data.held_out:g} of {count} images leaves none to train on: lower it")
    if data.held_out and held_out < 2:
        limit = f", data.held_out_limit {data.held_out_limit}" if data.held_out_limit else ""
        raise Fatal(
            f"data.held_out: {data.held_out:g} of {count} images{limit} holds out {held_out}, at least 2 are needed: "
            "raise it"
        )

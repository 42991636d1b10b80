"""Which samples are held out, and which are left out."""

import hashlib

import numpy as np
from numpy.typing import NDArray

from ..config.fields import Data
from ..failure import Fatal


def split_samples(
    digests: NDArray[np.uint8], groups: NDArray[np.int64], data: Data, test: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Split off the held-out part and apply the limits.

    The choice depends on the groups, on each sample's pixels and on data.split_seed alone: a group falls on one side,
    and adding an image moves few others. Of n samples as near to round(held_out * n) are held out as groups allow.

    Args:
        digests: uint8 [n, 32], SHA-256 of each sample's pixels.
        groups: int64 [n], the same number for samples of a group; equal samples are of one.
        test: bool [n], the samples of an official test file: they are the held-out ones then, and no other.

    Returns:
        kept bool [n] (within the limits), held_out bool [n].

    Raises:
        Fatal: all samples are one group, no training image is left, or fewer than 2 held-out ones.
    """
    count = len(digests)
    rank = _ranks(digests, data.split_seed)
    group, size = _in_order(rank, groups)
    if test is None:
        target = max(1, round(data.held_out * count)) if data.held_out else 0
        if target and count > 1 and len(size) == 1:
            raise Fatal(
                f"data.held_out: all {count} images are one group (duplicates, near duplicates by data.near_duplicate "
                f"{data.near_duplicate:g}, or what data.split_by {data.split_by} joins), and groups are not split: "
                "add other images, or lower data.near_duplicate"
            )
        held_out = _chosen_groups(size, target)[group]
    else:
        held_out = test
    kept = np.zeros(count, np.bool_)
    order = np.argsort(rank, kind="stable")
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


def _in_order(rank: NDArray[np.uint64], groups: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Groups in the order of their lowest rank.

    Returns:
        each sample's group, int64 [n], and the size of each group.
    """
    _, group = np.unique(groups, return_inverse=True)
    lowest = np.full(int(group.max(initial=-1)) + 1, np.iinfo(np.uint64).max, np.uint64)
    np.minimum.at(lowest, group, rank)
    place = np.empty(len(lowest), np.int64)
    place[np.argsort(lowest, kind="stable")] = np.arange(len(lowest))
    return place[group], np.bincount(place[group], minlength=len(lowest))


def _chosen_groups(sizes: NDArray[np.int64], target: int) -> NDArray[np.bool_]:
    """Groups that together hold as near to `target` samples as any choice does, the first ones where that is equal.

    One that would be too much is passed over; where those left do not reach the target, sizes are combined anew.

    Args:
        sizes: of each group, in order of preference.

    Returns:
        bool [groups].
    """
    chosen = np.zeros(len(sizes), np.bool_)
    ends = np.cumsum(sizes)
    fitting = int(np.searchsorted(ends, target, "right"))  # so many fit one after another
    chosen[:fitting] = True
    reached = int(ends[fitting - 1]) if fitting else 0
    for group, size in enumerate(sizes[fitting:].tolist(), start=fitting):
        if reached == target:
            return chosen
        if reached + size <= target:
            reached, chosen[group] = reached + size, True
    return chosen if reached == target else _nearest_sum(sizes, target, chosen)


def _nearest_sum(sizes: NDArray[np.int64], target: int, chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The choice whose sum is nearest to `target`, above 0 and below all; the lesser of two that are as near.

    A sum over bits of whole numbers (bounded knapsack): bit t says that a sum of t can be reached.

    Args:
        chosen: a choice below the target, kept where none is nearer; else as many of each size as near to it as can be.
    """
    reached, total = int(sizes[chosen].sum()), int(sizes.sum())
    if len(sizes) < 2:
        return chosen
    most = min(max(2 * target, int(sizes.min())), total - 1)
    kinds, counts = np.unique(sizes, return_counts=True)
    sums, mask = [1], (1 << (most + 1)) - 1
    for size, count in zip(kinds.tolist(), counts.tolist(), strict=True):
        can, step = sums[-1], 1
        while count:
            step = min(step, count)
            can |= (can << (step * size)) & mask
            count, step = count - step, 2 * step
        sums.append(can)
    nearest = next(
        sum_
        for away in range(total)
        for sum_ in (target - away, target + away)
        if 0 < sum_ <= most and sums[-1] >> sum_ & 1
    )
    if reached and abs(nearest - target) == target - reached:
        return chosen
    better, left = np.zeros_like(chosen), nearest
    for size, can in zip(kinds.tolist()[::-1], sums[-2::-1], strict=True):
        of_size = np.flatnonzero(sizes == size)
        wanted = int(chosen[of_size].sum())
        numbers = range(min(len(of_size), left // size) + 1)
        number = min((n for n in numbers if can >> (left - n * size) & 1), key=lambda n: abs(n - wanted))
        better[of_size[:number]] = True
        left -= number * size
    return better


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

"""Memory samples redistribute: which samples leave their shard, and where they go (arXiv 2502.09434)."""

import hashlib

import numpy as np
from numpy.typing import NDArray


def reassign(
    shard: NDArray[np.int32],
    visits: NDArray[np.int64],
    skips: NDArray[np.int64],
    shards: int,
    fraction: float,
    seed: int,
    round: int,
) -> NDArray[np.int32]:
    """Move the samples that were skipped most often to other shards.

    The `fraction` of samples with the highest skip rate (at least one skip) is chosen, and every chosen
    sample leaves its shard for a place that another leaves. No shard can take back its own, so where
    one shard has more movers than all others together, each surplus mover swaps with the least-skipped
    unchosen sample of its destination. Sizes stay, no sample is lost or doubled.

    Args:
        shard: shard of every training sample, int32 [n].
        visits, skips: counts of the round, int64 [n].
        shards: K, at least 2.
        fraction: share of all samples that is chosen.
        seed, round: break ties, together with the sample's place.

    Returns:
        The new shard of every sample, int32 [n].
    """
    rate = skips / np.maximum(visits, 1)
    tie = _tie_breaker(len(shard), seed, round)
    chosen = _chosen(rate, skips, fraction, tie)
    sizes = np.bincount(shard, minlength=shards)
    # a shard larger than all others together (two shards of odd sum) cannot leave whole
    movers = [chosen[shard[chosen] == k][: len(shard) - sizes[k]] for k in range(shards)]
    chosen = np.concatenate(movers)
    surplus_shard = int(np.argmax([len(m) for m in movers]))
    surplus = len(movers[surplus_shard]) - (len(chosen) - len(movers[surplus_shard]))
    if surplus > 0:
        exchanged = _exchanged(shard, rate, tie, chosen, surplus_shard, shards, surplus)
        movers = [np.concatenate([m, exchanged[shard[exchanged] == k]]) for k, m in enumerate(movers)]
    return _rotate(shard, movers)


def _tie_breaker(samples: int, seed: int, round: int) -> NDArray[np.uint64]:
    """A hash of (seed, round, sample) for every sample: a keyed mix, so that 10 million cost a second."""
    key = int.from_bytes(hashlib.sha256(f"redistribute {seed} {round}".encode()).digest()[:8], "little")
    z = np.arange(samples, dtype=np.uint64) + np.uint64(key)  # splitmix64 (Steele et al. 2014)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def _chosen(
    rate: NDArray[np.float64], skips: NDArray[np.int64], fraction: float, tie: NDArray[np.uint64]
) -> NDArray[np.int64]:
    """The samples that leave, the highest skip rate first."""
    able = np.flatnonzero(skips > 0)
    order = able[np.lexsort((tie[able], -rate[able]))]
    return order[: round_half_up(fraction * len(rate))]


def round_half_up(value: float) -> int:
    """The nearest integer, halves upwards."""
    return int(np.floor(value + 0.5))


def _exchanged(
    shard: NDArray[np.int32],
    rate: NDArray[np.float64],
    tie: NDArray[np.uint64],
    chosen: NDArray[np.int64],
    crowded: int,
    shards: int,
    count: int,
) -> NDArray[np.int64]:
    """The unchosen samples that make room for the surplus movers of the crowded shard.

    Destinations take turns, so that the surplus spreads evenly; within one, the least skipped goes first.
    """
    unchosen = np.ones(len(shard), bool)
    unchosen[chosen] = False
    queues = []
    for k in range(shards):
        if k != crowded:
            members = np.flatnonzero(unchosen & (shard == k))
            queues.append(members[np.lexsort((tie[members], rate[members]))])
    picked = np.concatenate(queues)
    turn = np.concatenate([np.arange(len(queue)) for queue in queues])
    return picked[np.argsort(turn, kind="stable")][:count]


def _rotate(shard: NDArray[np.int32], movers: list[NDArray[np.int64]]) -> NDArray[np.int32]:
    """Every mover takes the place of a mover of another shard.

    Movers are lined up shard by shard and shifted by the size of the largest group: no group is
    longer than half of the line, so nobody lands in the group that it came from.
    """
    line = np.concatenate(movers)
    if not len(line):
        return shard.copy()
    largest = max(len(group) for group in movers)
    moved = shard.copy()
    moved[line] = np.roll(shard[line], -largest)
    return moved

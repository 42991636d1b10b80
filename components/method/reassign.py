"""Memory samples redistribute: which samples leave their shard, and where they go (arXiv 2502.09434)."""

import hashlib
from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Destination = Literal["spread", "ring"]


def reassign(
    shard: NDArray[np.int32],
    visits: NDArray[np.int64],
    skips: NDArray[np.int64],
    shards: int,
    fraction: float,
    seed: int,
    round: int,
    destination: Destination = "spread",
) -> NDArray[np.int32]:
    """Move the samples that were skipped most often to other shards.

    The `fraction` of samples with the highest skip rate (at least one skip) is chosen, and every chosen
    sample leaves its shard. Sizes stay, no sample is lost or doubled.

    `spread`: a shard's movers go to all other shards, to each in proportion to the places that its own movers
    leave (to all alike where all shards have as many movers), rounded up or down; which mover goes where is
    drawn. No shard takes back its own, so where one has more movers than all others together, each surplus
    mover swaps with the least-skipped unchosen sample of its destination.

    `ring`, the authors' way: movers of shard i go to shard i + 1 mod K. Where fewer leave that shard than come,
    its least-skipped unchosen samples make room and take the places that are left over elsewhere. A round in
    which a shard has more movers than the next one has samples is spread.

    Args:
        shard: shard of every training sample, int32 [n].
        visits, skips: counts of the round, int64 [n].
        shards: K, at least 2.
        fraction: share of all samples that is chosen.
        seed, round: decide ties and the draw, together with the sample's place in `shard`.

    Returns:
        The new shard of every sample, int32 [n].
    """
    rate = skips / np.maximum(visits, 1)
    tie = _hashed(np.arange(len(shard)), f"redistribute {seed} {round}")
    sizes = np.bincount(shard, minlength=shards)
    chosen = _chosen(rate, skips, fraction, tie)
    order, rank = _by_shard(shard[chosen], shards)
    # a shard larger than all others together (two shards of odd sum) cannot leave whole
    chosen = chosen[order][rank < (len(shard) - sizes)[shard[chosen][order]]]
    counts = np.bincount(shard[chosen], minlength=shards)
    if destination == "ring" and (counts <= np.roll(sizes, -1)).all():
        leaving, to = _ring(shard, rate, tie, chosen, counts)
    else:
        leaving, to = _spread(shard, rate, tie, chosen, counts, f"spread {seed} {round}")
    after = shard.copy()
    after[leaving] = to
    return after


def round_half_up(value: float) -> int:
    """The nearest integer, halves upwards."""
    return int(np.floor(value + 0.5))


def _chosen(
    rate: NDArray[np.float64], skips: NDArray[np.int64], fraction: float, tie: NDArray[np.uint64]
) -> NDArray[np.int64]:
    """The samples that leave, the highest skip rate first."""
    able = np.flatnonzero(skips > 0)
    order = able[np.lexsort((tie[able], -rate[able]))]
    return order[: round_half_up(fraction * len(rate))]


def _spread(
    shard: NDArray[np.int32],
    rate: NDArray[np.float64],
    tie: NDArray[np.uint64],
    chosen: NDArray[np.int64],
    counts: NDArray[np.int64],
    key: str,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Who leaves and where to: a drawn derangement in which a shard's movers go to all others."""
    shards, leaving = len(counts), chosen
    crowded = int(np.argmax(counts))
    surplus = 2 * int(counts[crowded]) - len(chosen)
    if surplus > 0:
        samples, turn = _least_skipped(shard, rate, tie, chosen, shards)
        able = shard[samples] != crowded
        # destinations take turns, so that the surplus spreads evenly; within one, the least skipped goes first
        exchanged = samples[able][np.argsort(turn[able], kind="stable")][:surplus]
        leaving = np.concatenate([chosen, exchanged])
        counts = np.bincount(shard[leaving], minlength=shards)
    leaving = leaving[np.argsort(_hashed(leaving, key))]
    leaving = leaving[_by_shard(shard[leaving], shards)[0]]
    every = np.arange(shards)
    to = [np.repeat(every, row) for row in _routes(counts, key)]
    return leaving, np.concatenate(to)


def _ring(
    shard: NDArray[np.int32],
    rate: NDArray[np.float64],
    tie: NDArray[np.uint64],
    chosen: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Who leaves and where to: the next shard, and for those that make room the places left over."""
    shards = len(counts)
    too_many = np.roll(counts, 1) - counts  # movers that come to a shard, over those that leave it
    samples, turn = _least_skipped(shard, rate, tie, chosen, shards)
    exchanged = samples[turn < too_many[shard[samples]]]
    exchanged = exchanged[np.argsort(tie[exchanged])]
    left_over = np.repeat(np.arange(shards), np.maximum(-too_many, 0))
    return np.concatenate([chosen, exchanged]), np.concatenate([(shard[chosen] + 1) % shards, left_over])


def _routes(counts: NDArray[np.int64], key: str) -> Iterator[NDArray[np.int64]]:
    """How many movers go from a shard to each, shard after shard: int64 [K], summing to its count.

    Rows and columns sum to `counts`, the diagonal is zero, and every number is its real-valued share rounded
    down, or that and one. The remainders are a directed graph without loops of given degrees, drawn vertex by
    vertex as Kleitman and Wang do (1973), equal ones by a hash.

    Args:
        counts: movers of each shard, int64 [K]; none has more than all others together.
    """
    crowded = int(np.argmax(counts))
    if 2 * counts[crowded] == counts.sum():  # everybody to the crowded shard, and its movers to everybody
        for k in range(len(counts)):
            row = np.zeros_like(counts)
            row[crowded] = counts[k]
            yield row if k != crowded else np.where(np.arange(len(counts)) == crowded, 0, counts)
        return
    factors = _factors(counts)
    leave = np.array([counts[k] - _rounded_down(factors, k).sum() for k in range(len(counts))])
    arrive = leave.copy()  # shares are symmetric
    for k in range(len(counts)):
        row = _rounded_down(factors, k)
        if leave[k]:
            drawn = _hashed(np.arange(len(counts)), f"{key} {k}") >> np.uint64(32)
            preferred = (arrive.astype(np.uint64) << np.uint64(48)) | (leave.astype(np.uint64) << np.uint64(32)) | drawn
            preferred[k] = 0
            taken = np.argpartition(preferred, -leave[k])[-leave[k] :]
            row[taken] += 1
            arrive[taken] -= 1
            leave[k] = 0
        yield row


def _rounded_down(factors: NDArray[np.float64], k: int) -> NDArray[np.int64]:
    """A row of the shares; the margin is for those that are whole numbers but for their last bits."""
    shares: NDArray[np.int64] = np.floor(np.maximum(factors[k] * factors - 1e-6, 0.0)).astype(np.int64)
    shares[k] = 0
    return shares


def _factors(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """u with u_i * (sum of the other u) = counts_i: the shares u_i * u_j are proportional but for the diagonal.

    With S the sum of all, u_i is a root of u^2 - S u + counts_i, the smaller one but for the largest count. So
    all follow from that one's u, which is found by bisection.
    """
    crowded, m = int(np.argmax(counts)), counts.astype(np.float64)
    others = np.arange(len(m)) != crowded
    largest = m[crowded]

    def given(u: float) -> NDArray[np.float64]:
        total = u + largest / u
        root = np.sqrt((u - largest / u) ** 2 + 4 * (largest - m))  # of S^2 - 4 m, without cancellation
        return np.where(others, 2 * m / (total + root), u)

    low, high = 1e-6, 1e12
    for _ in range(200):
        middle = float(np.sqrt(low * high))
        enough = middle * given(middle)[others].sum() >= largest
        low, high = (low, middle) if enough else (middle, high)
    return given(high)


def _least_skipped(
    shard: NDArray[np.int32],
    rate: NDArray[np.float64],
    tie: NDArray[np.uint64],
    chosen: NDArray[np.int64],
    shards: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The unchosen samples, shard by shard, the least skipped first; and the place of each in its shard's queue."""
    unchosen = np.ones(len(shard), np.bool_)
    unchosen[chosen] = False
    samples = np.flatnonzero(unchosen)
    samples = samples[np.lexsort((tie[samples], rate[samples]))]
    order, rank = _by_shard(shard[samples], shards)
    return samples[order], rank


def _by_shard(shard: NDArray[np.int32], shards: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The order that groups samples by their shard and leaves them as they are within, and their rank in the group."""
    order = np.argsort(shard.astype(np.int16), kind="stable")  # a radix sort; K is at most 10,000
    counts = np.bincount(shard, minlength=shards)
    return order, np.arange(len(shard)) - np.repeat(np.cumsum(counts) - counts, counts)


def _hashed(samples: NDArray[np.int64], key: str) -> NDArray[np.uint64]:
    """A hash of (key, sample) for every sample: a keyed mix, so that 10 million cost a second."""
    start = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "little")
    z = samples.astype(np.uint64) + np.uint64(start)  # splitmix64 (Steele et al. 2014)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))

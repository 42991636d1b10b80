"""MSR: sizes stay, nobody is lost, every chosen sample moves."""

import numpy as np
import pytest

from unecho.components.method.reassign import reassign


def check(shard: np.ndarray, visits: np.ndarray, skips: np.ndarray, shards: int, fraction: float, round: int = 0):
    """Reassign and check what holds always; returns the new shards and who was chosen."""
    after = reassign(shard, visits, skips, shards, fraction, seed=0, round=round)
    assert (np.bincount(after, minlength=shards) == np.bincount(shard, minlength=shards)).all()
    assert ((after >= 0) & (after < shards)).all()
    return after


def chosen_by_hand(visits: np.ndarray, skips: np.ndarray, fraction: float) -> set[int]:
    """The highest rates, where no two rates are equal."""
    able = [i for i in range(len(visits)) if skips[i] > 0]
    able.sort(key=lambda i: -skips[i] / visits[i])
    return set(able[: int(fraction * len(visits) + 0.5)])


@pytest.mark.parametrize("shards", [2, 3, 4, 7])
@pytest.mark.parametrize("fraction", [0.05, 0.2, 0.5])
@pytest.mark.parametrize("seed", range(5))
def test_every_chosen_sample_moves_and_sizes_stay(shards: int, fraction: float, seed: int) -> None:
    draw = np.random.default_rng(seed)
    n = 101
    shard = draw.permutation(np.arange(n) % shards).astype(np.int32)
    visits = np.full(n, 1000)
    skips = draw.permutation(n) * (draw.random(n) < 0.8)  # all different, some zero
    after = check(shard, visits, skips, shards, fraction)
    chosen = chosen_by_hand(visits, skips, fraction)
    moved = set(np.flatnonzero(after != shard))
    assert chosen <= moved
    # who moved without being chosen made room: not more than the surplus of one shard over the others
    counts = np.bincount(shard[list(chosen)], minlength=shards)
    assert len(moved - chosen) == max(0, 2 * counts.max() - len(chosen))


def test_all_movers_in_one_shard_swap_with_the_least_skipped_of_their_destinations() -> None:
    shard = np.repeat([0, 1, 2], 4).astype(np.int32)
    visits = np.full(12, 10)
    skips = np.array([9, 8, 0, 0, 1, 2, 3, 0, 4, 0, 5, 6])
    after = check(shard, visits, skips, 3, fraction=2 / 12)
    assert set(np.flatnonzero(after != shard)) == {0, 1, 7, 9}  # 7 and 9: never skipped, one of each destination
    assert after[7] == after[9] == 0
    assert {after[0], after[1]} == {1, 2}


def test_one_mover_swaps_with_one_sample() -> None:
    shard = np.array([0, 0, 1, 1], np.int32)
    after = check(shard, np.full(4, 5), np.array([0, 5, 1, 0]), 2, fraction=0.25)
    assert after.tolist() == [0, 1, 1, 0]


def test_two_shards_exchange_their_movers() -> None:
    shard = np.array([0, 0, 0, 1, 1, 1], np.int32)
    after = check(shard, np.full(6, 5), np.array([5, 0, 4, 3, 2, 0]), 2, fraction=4 / 6)
    assert after.tolist() == [1, 0, 1, 0, 0, 1]


def test_a_sample_that_was_never_skipped_is_not_chosen() -> None:
    shard = np.arange(8, dtype=np.int32) % 2
    assert (check(shard, np.full(8, 3), np.zeros(8, int), 2, fraction=0.5) == shard).all()


def test_a_sample_that_was_never_visited_counts_as_never_skipped() -> None:
    shard = np.arange(4, dtype=np.int32) % 2
    assert (check(shard, np.zeros(4, int), np.zeros(4, int), 2, fraction=1.0) == shard).all()


def test_everything_may_be_chosen() -> None:
    shard = np.arange(9, dtype=np.int32) % 3
    assert (check(shard, np.full(9, 5), np.full(9, 5), 3, fraction=1.0) != shard).all()
    odd = np.arange(5, dtype=np.int32) % 2  # three against two: one cannot leave
    assert (check(odd, np.full(5, 5), np.full(5, 5), 2, fraction=1.0) != odd).sum() == 4


def test_ties_are_broken_by_seed_round_and_sample_and_by_nothing_else() -> None:
    shard = np.arange(200, dtype=np.int32) % 4
    visits, skips = np.full(200, 10), np.full(200, 3)
    first = check(shard, visits, skips, 4, 0.2)
    assert (check(shard, visits, skips, 4, 0.2) == first).all()
    assert (check(shard, visits, skips, 4, 0.2, round=1) != first).any()

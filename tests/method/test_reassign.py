"""MSR: sizes stay, nobody is lost, every chosen sample moves, and shard-mates part."""

from itertools import combinations

import numpy as np
import pytest

from unecho.components.method.reassign import Destination, reassign

DESTINATIONS: tuple[Destination, ...] = ("spread", "ring")


def check(
    shard: np.ndarray,
    visits: np.ndarray,
    skips: np.ndarray,
    shards: int,
    fraction: float,
    round: int = 0,
    destination: Destination = "spread",
) -> np.ndarray:
    """Reassign and check what holds always; returns the new shards."""
    before = shard.copy()
    after = reassign(shard, visits, skips, shards, fraction, seed=0, round=round, destination=destination)
    assert (shard == before).all(), "what was given is left alone"
    assert after.dtype == np.int32
    assert after.shape == shard.shape
    assert ((after >= 0) & (after < shards)).all()
    assert (np.bincount(after, minlength=shards) == np.bincount(shard, minlength=shards)).all()
    return after


def chosen_by_hand(visits: np.ndarray, skips: np.ndarray, fraction: float) -> set[int]:
    """The highest rates, where no two rates are equal."""
    able = [i for i in range(len(visits)) if skips[i] > 0]
    able.sort(key=lambda i: -skips[i] / visits[i])
    return set(able[: int(fraction * len(visits) + 0.5)])


def routes(before: np.ndarray, after: np.ndarray, samples: np.ndarray, shards: int) -> np.ndarray:
    """How many of `samples` went from each shard to each."""
    table = np.zeros((shards, shards), int)
    for sample in samples:
        table[before[sample], after[sample]] += 1
    return table


@pytest.mark.parametrize("destination", DESTINATIONS)
@pytest.mark.parametrize("shards", [2, 3, 4, 7])
@pytest.mark.parametrize("fraction", [0.05, 0.2, 0.5])
@pytest.mark.parametrize("seed", range(5))
def test_every_chosen_sample_moves_and_sizes_stay(
    shards: int, fraction: float, seed: int, destination: Destination
) -> None:
    draw = np.random.default_rng(seed)
    n = 101
    shard = draw.permutation(np.arange(n) % shards).astype(np.int32)
    visits = np.full(n, 1000)
    skips = draw.permutation(n) * (draw.random(n) < 0.8)  # all different, some zero
    after = check(shard, visits, skips, shards, fraction, destination=destination)
    chosen = chosen_by_hand(visits, skips, fraction)
    moved = set(np.flatnonzero(after != shard))
    assert chosen <= moved
    # who moved without being chosen made room: no more than places were lacking
    counts = np.bincount(shard[list(chosen)], minlength=shards)
    surplus = max(0, 2 * counts.max() - len(chosen))
    if destination == "ring":
        surplus = sum(max(0, counts[k - 1] - counts[k]) for k in range(shards))
        assert all(after[i] == (shard[i] + 1) % shards for i in chosen)
    assert len(moved - chosen) == surplus


@pytest.mark.parametrize("destination", DESTINATIONS)
def test_whatever_the_sizes_and_the_skips_sizes_stay_and_the_chosen_move(destination: Destination) -> None:
    draw = np.random.default_rng(7)
    for case in range(600):
        shards, n = int(draw.integers(2, 8)), int(draw.integers(8, 60))
        shard = np.concatenate([np.arange(shards), draw.choice(shards, n - shards, p=draw.dirichlet(np.ones(shards)))])
        shard = draw.permutation(shard).astype(np.int32)
        skips = draw.permutation(n) + 1
        kind = case % 4
        if kind == 1:  # all movers in one shard
            skips[shard != draw.integers(shards)] = 0
        elif kind == 2:  # no skips at all but one
            skips[1:] = 0
        elif kind == 3:
            skips[draw.random(n) < 0.5] = 0
        fraction = float(draw.choice([0.1, 0.3, 0.7, 1.0]))
        after = check(shard, np.full(n, 100), skips, shards, fraction, round=case, destination=destination)
        chosen = np.array(sorted(chosen_by_hand(np.full(n, 100), skips, fraction)), int)
        counts = np.bincount(shard[chosen], minlength=shards)
        # more than all others together cannot leave a shard: there are no places for them
        room = n - np.bincount(shard, minlength=shards)
        leave = np.bincount(shard[chosen[after[chosen] != shard[chosen]]], minlength=shards)
        assert (leave == np.minimum(counts, room)).all(), (case, counts, room, leave)


@pytest.mark.parametrize("shards", [3, 4, 10])
def test_equal_numbers_of_movers_are_spread_over_all_other_shards_to_within_one(shards: int) -> None:
    n, movers = 200 * shards, 31
    shard = (np.arange(n) % shards).astype(np.int32)
    skips = np.where(np.arange(n) // shards < movers, 5, 0)
    for round in range(5):
        after = check(shard, np.full(n, 10), skips, shards, movers / 200, round)
        table = routes(shard, after, np.flatnonzero(skips), shards)
        others = table[~np.eye(shards, dtype=bool)]
        assert set(others) <= {movers // (shards - 1), -(-movers // (shards - 1))}
        assert (np.diag(table) == 0).all()


def test_unequal_numbers_of_movers_are_spread_in_proportion_to_the_places() -> None:
    """With quasi-independent shares T_ij = u_i u_j the cross ratios of four shards are one (Goodman, 1968)."""
    movers = np.array([4000, 3000, 2000, 1000])
    shard = np.repeat(np.arange(4), 5000).astype(np.int32)
    skips = np.concatenate([np.repeat([1, 0], [m, 5000 - m]) for m in movers])
    table = routes(shard, check(shard, np.full(20000, 10), skips, 4, 0.5), np.flatnonzero(skips), 4)
    assert (table.sum(0) == movers).all()
    assert (table.sum(1) == movers).all()
    assert table[0, 1] * table[2, 3] == pytest.approx(table[0, 2] * table[1, 3], rel=0.02)
    assert table[0, 1] * table[2, 3] == pytest.approx(table[0, 3] * table[1, 2], rel=0.02)
    assert abs(table - table.T).max() <= 1


def together_again(destination: Destination, rounds: int) -> float:
    """The share of pairs of chosen shard-mates that are shard-mates again after so many rounds."""
    shards, n = 10, 10_000
    begun = np.random.default_rng(0).permutation(np.arange(n) % shards).astype(np.int32)
    often = np.random.default_rng(1).permutation(n)[: n // 5]
    skips = np.zeros(n, int)
    skips[often] = 5
    shard = begun
    for round in range(rounds):
        shard = check(shard, np.full(n, 10), skips, shards, 0.2, round, destination)
    pairs = [(i, j) for i, j in combinations(often.tolist(), 2) if begun[i] == begun[j]]
    return sum(int(shard[i] == shard[j]) for i, j in pairs) / len(pairs)


def test_spread_parts_samples_that_are_chosen_together_and_ring_does_not() -> None:
    """By chance 1 in 9 after one round, in one of the other shards, and 1 in 10 in the long run."""
    assert together_again("spread", 1) == pytest.approx(1 / 9, abs=0.01)
    assert together_again("spread", 9) == pytest.approx(1 / 10, abs=0.01)
    assert together_again("ring", 1) == 1
    assert together_again("ring", 9) == 1


def test_all_movers_in_one_shard_swap_with_the_least_skipped_of_their_destinations() -> None:
    shard = np.repeat([0, 1, 2], 4).astype(np.int32)
    visits = np.full(12, 10)
    skips = np.array([9, 8, 0, 0, 1, 2, 3, 0, 4, 0, 5, 6])
    after = check(shard, visits, skips, 3, fraction=2 / 12)
    assert set(np.flatnonzero(after != shard)) == {0, 1, 7, 9}  # 7 and 9: never skipped, one of each destination
    assert after[7] == after[9] == 0
    assert {after[0], after[1]} == {1, 2}
    ring = check(shard, visits, skips, 3, fraction=2 / 12, destination="ring")
    assert set(np.flatnonzero(ring != shard)) == {0, 1, 4, 7}  # 7 and 4: the least skipped of the next shard
    assert ring[0] == ring[1] == 1
    assert ring[4] == ring[7] == 0


def test_one_mover_swaps_with_one_sample() -> None:
    shard = np.array([0, 0, 1, 1], np.int32)
    for destination in DESTINATIONS:
        after = check(shard, np.full(4, 5), np.array([0, 5, 1, 0]), 2, fraction=0.25, destination=destination)
        assert after.tolist() == [0, 1, 1, 0]


def test_two_shards_exchange_their_movers() -> None:
    shard = np.array([0, 0, 0, 1, 1, 1], np.int32)
    for destination in DESTINATIONS:
        after = check(shard, np.full(6, 5), np.array([5, 0, 4, 3, 2, 0]), 2, fraction=4 / 6, destination=destination)
        assert after.tolist() == [1, 0, 1, 0, 0, 1]


@pytest.mark.parametrize("destination", DESTINATIONS)
def test_a_sample_that_was_never_skipped_or_never_visited_is_not_chosen(destination: Destination) -> None:
    shard = np.arange(8, dtype=np.int32) % 2
    never = np.zeros(8, int)
    assert (check(shard, np.full(8, 3), never, 2, fraction=0.5, destination=destination) == shard).all()
    assert (check(shard, never, never, 2, fraction=1.0, destination=destination) == shard).all()


@pytest.mark.parametrize("destination", DESTINATIONS)
def test_everything_may_be_chosen(destination: Destination) -> None:
    for shards, n in ((3, 9), (3, 10), (4, 10), (5, 7)):
        shard = np.arange(n, dtype=np.int32) % shards
        after = check(shard, np.full(n, 5), np.full(n, 5), shards, fraction=1.0, destination=destination)
        assert (after != shard).all()
    odd = np.arange(5, dtype=np.int32) % 2  # three against two: one cannot leave
    assert (check(odd, np.full(5, 5), np.full(5, 5), 2, 1.0, destination=destination) != odd).sum() == 4


def test_ties_are_broken_by_seed_round_and_sample_and_by_nothing_else() -> None:
    shard = np.arange(200, dtype=np.int32) % 4
    visits, skips = np.full(200, 10), np.full(200, 3)
    first = check(shard, visits, skips, 4, 0.2)
    assert (check(shard, visits, skips, 4, 0.2) == first).all()
    assert (check(shard, visits, skips, 4, 0.2, round=1) != first).any()
    assert (reassign(shard, visits, skips, 4, 0.2, seed=1, round=0) != first).any()

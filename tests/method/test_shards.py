"""Assignment 0: equal shards, equal shares of every label."""

import numpy as np
import pytest

from unecho.components.method.shards import stratify


@pytest.mark.parametrize("shards", [1, 2, 3, 10])
def test_sizes_of_shards_and_of_labels_in_them_differ_by_at_most_one(shards: int) -> None:
    draw = np.random.default_rng(shards)
    labels = draw.choice([0, 1, 2, 5], 407, p=[0.6, 0.2, 0.15, 0.05]).astype(np.int32)
    rows = np.flatnonzero(draw.random(407) < 0.8)
    assigned = stratify(rows, labels, shards, seed=1)
    assert np.ptp(np.bincount(assigned, minlength=shards)) <= 1
    for label in (0, 1, 2, 5):
        assert np.ptp(np.bincount(assigned[labels[rows] == label], minlength=shards)) <= 1


def test_the_seed_decides() -> None:
    rows, labels = np.arange(100), np.full(100, -1, np.int32)
    first = stratify(rows, labels, 4, seed=1)
    assert (stratify(rows, labels, 4, seed=1) == first).all()
    assert (stratify(rows, labels, 4, seed=2) != first).any()

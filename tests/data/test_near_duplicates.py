"""Near duplicates between two sets of images."""

import numpy as np

from unecho.components.data import near_duplicates
from unecho.components.data.near_duplicates import near_copies, near_groups
from unecho.components.measures.images import InMemory

RANDOM = np.random.default_rng(5)


def blots(count: int) -> np.ndarray:
    """Images of 16x16 pixels out of random squares of 4x4."""
    return np.kron(RANDOM.integers(0, 256, (count, 1, 4, 4)), np.ones((4, 4), int)).astype(np.uint8)


def noisy(images: np.ndarray) -> np.ndarray:
    return (images + RANDOM.integers(-5, 6, images.shape)).clip(0, 255).astype(np.uint8)


def test_held_out_images_that_have_a_near_duplicate_in_training_are_named() -> None:
    training, held_out = blots(50), blots(20)
    held_out[3], held_out[7], held_out[9] = training[4], noisy(training[5]), noisy(training[6])[..., ::-1]
    found = near_copies(InMemory(held_out), InMemory(training), 0.03)
    assert np.flatnonzero(found).tolist() == [3, 7, 9]


def test_a_chain_of_near_duplicates_is_one_group_and_each_group_is_named_by_its_first() -> None:
    images = blots(12)
    step = RANDOM.integers(0, 2, images[0].shape) * 12
    images[:6] = 60 + images[:6] // 2
    images[8] = images[2] + step
    images[11] = images[8] + step
    groups = near_groups(InMemory(images), np.arange(12), 0.03)
    assert groups.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 2, 9, 10, 2]


def test_groups_are_those_of_a_loop_over_all_pairs(monkeypatch) -> None:
    monkeypatch.setattr(near_duplicates, "_QUERIES", 7)
    images = np.concatenate([blots(20), blots(3).repeat(12, axis=0)])
    images = (images + RANDOM.normal(0, 12, images.shape)).clip(0, 255).astype(np.uint8)
    images[1::2] = images[1::2, ..., ::-1]
    flat, mirrored = (some.reshape(len(images), -1).astype(float) for some in (images, images[..., ::-1]))
    # white noise falls on the lowest frequencies no more than on others, so here the pixels alone decide
    bare = [x - x.mean(axis=1, keepdims=True) for x in (flat, mirrored)]
    every = [np.sum((a - b) ** 2) for i, a in enumerate(flat) for b in flat[:i]]
    group = list(range(len(images)))
    for i in range(len(images)):
        for j in range(i):
            distance = min(np.sum((x[i] - bare[0][j]) ** 2) for x in bare)
            yard = min(2 * np.sum(bare[0][i] ** 2), 2 * np.sum(bare[0][j] ** 2), np.mean(every))
            if distance < 0.06 * yard:
                old, new = group[i], group[j]
                group = [min(old, new) if g in (old, new) else g for g in group]
    assert near_groups(InMemory(images), np.arange(len(images)), 0.06).tolist() == group
    assert 20 < len(set(group)) < 40


def test_more_near_duplicates_of_one_image_than_are_looked_at_are_still_one_group(monkeypatch) -> None:
    monkeypatch.setattr(near_duplicates, "_NEAREST", 20)
    images = noisy(np.concatenate([blots(1).repeat(60, axis=0), blots(200)]))
    groups = near_groups(InMemory(images), np.arange(260), 0.03)
    assert (groups[:60] == 0).all()
    assert groups[60:].tolist() == list(range(60, 260))

"""The held-out part."""

import hashlib

import numpy as np
import pytest

from unecho.components.config.fields import Data
from unecho.components.data.split import split_samples
from unecho.components.failure import Fatal


def digests(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 32), dtype=np.uint8)


@pytest.mark.parametrize(("count", "share", "expected"), [(100, 0.1, 10), (99, 0.5, 50), (1000, 0.0, 0), (30, 0.05, 2)])
def test_exactly_the_share_is_held_out(count: int, share: float, expected: int) -> None:
    kept, held_out = split_samples(digests(count), Data(held_out=share))
    assert held_out.sum() == expected  # round(share * count), halves to even
    assert kept.all()


def test_the_choice_is_that_of_the_lowest_hashes_of_seed_and_pixels() -> None:
    samples = digests(50)
    for seed in (0, 7):
        hashes = [hashlib.sha256(b"split %d " % seed + sample.tobytes()).digest() for sample in samples]
        expected = sorted(range(50), key=lambda row: hashes[row])[:10]
        _, held_out = split_samples(samples, Data(held_out=0.2, split_seed=seed))
        assert np.flatnonzero(held_out).tolist() == sorted(expected)


def test_the_choice_does_not_depend_on_the_order() -> None:
    samples, order = digests(200), np.random.default_rng(1).permutation(200)
    data = Data(held_out=0.3, train_limit=50, held_out_limit=20)
    kept, held_out = split_samples(samples, data)
    kept_again, held_out_again = split_samples(samples[order], data)
    assert (kept_again == kept[order]).all()
    assert (held_out_again == held_out[order]).all()


@pytest.mark.parametrize("seed", range(20))
def test_duplicates_fall_on_one_side_and_the_count_is_still_exact(seed: int) -> None:
    random = np.random.default_rng(seed)
    group = random.integers(0, 60, 200)
    group[:30] = np.arange(100, 130)  # some samples are alone, so any count can be reached
    samples = digests(130, seed)[group]
    _, held_out = split_samples(samples, Data(held_out=0.25, split_seed=seed))
    assert held_out.sum() == 50
    assert not set(group[held_out]) & set(group[~held_out])


def test_sets_of_duplicates_that_are_too_large_are_passed_over() -> None:
    samples = digests(12)[np.repeat(np.arange(12), 5)]  # 12 sets of 5
    _, held_out = split_samples(samples, Data(held_out=0.2))  # 12 samples: two sets make 10
    assert held_out.sum() == 10


def test_limits_keep_a_fixed_choice_on_either_side() -> None:
    samples = digests(100)
    _, whole = split_samples(samples, Data(held_out=0.4))
    kept, held_out = split_samples(samples, Data(held_out=0.4, train_limit=7, held_out_limit=3))
    assert ((kept & ~held_out).sum(), (kept & held_out).sum()) == (7, 3)
    assert (held_out == whole).all()
    more, _ = split_samples(samples, Data(held_out=0.4, train_limit=8, held_out_limit=4))
    assert (more | ~kept).all()  # a larger limit adds, it exchanges nothing


@pytest.mark.parametrize(
    ("count", "data", "says"),
    [
        (10, Data(held_out=1.0), "data.held_out: 1 of 10 images leaves none to train on"),
        (1, Data(held_out=0.1), "data.held_out: 0.1 of 1 images leaves none to train on"),
        (10, Data(held_out=0.1), "data.held_out: 0.1 of 10 images holds out 1, at least 2 are needed"),
        (100, Data(held_out=0.1, held_out_limit=1), "images, data.held_out_limit 1 holds out 1, at least 2"),
    ],
)
def test_a_split_that_leaves_too_little_says_so(count: int, data: Data, says: str) -> None:
    with pytest.raises(Fatal, match=says):
        split_samples(digests(count), data)


def test_samples_that_are_all_equal_cannot_be_split() -> None:
    with pytest.raises(Fatal, match="holds out 0, at least 2 are needed"):
        split_samples(digests(1)[np.zeros(20, int)], Data(held_out=0.5))


@pytest.mark.parametrize("limits", [(), ("data.train_limit=20", "data.held_out_limit=9")])
def test_a_prepared_data_set_keeps_the_two_parts_apart(prepare, tree, noise, limits: tuple[str, ...]) -> None:
    images = noise(60)
    files = {f"{number:02}.png": images[number % 45] for number in range(60)}  # 15 duplicates
    done = prepare(tree(files), "data.held_out=0.25", "data.resolution=8", "data.chunk_mib=0.0005", *limits)
    dataset = done.dataset
    assert sorted([*dataset.train_rows, *dataset.held_out_rows]) == list(range(dataset.count))
    train = {image.tobytes() for image in dataset.rows(dataset.train_rows)}
    held_out = {image.tobytes() for image in dataset.rows(dataset.held_out_rows)}
    assert train
    assert held_out
    assert not train & held_out
    assert done.names() == sorted(done.names())
    assert (done.images()[:, 0] == [files[name] for name in done.names()]).all()
    assert (len(dataset.train_rows), len(dataset.held_out_rows)) == ((45, 15) if not limits else (20, 9))
    assert (done.record.train_samples, done.record.held_out_samples) == (
        len(dataset.train_rows),
        len(dataset.held_out_rows),
    )

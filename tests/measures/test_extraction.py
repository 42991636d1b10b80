"""The extraction attack finds what was planted, and no more."""

import numpy as np
import pytest
import torch
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import pdist

from unecho.components.config.fields import TAA, Evaluate
from unecho.components.measures import alike
from unecho.components.measures.extraction import Extraction, centres, extract, power
from unecho.components.measures.images import InMemory
from unecho.components.measures.transforms import stages

RANDOM = np.random.default_rng(7)
CONFIG = Evaluate(neighbours=10)


def noise(count: int) -> np.ndarray:
    return RANDOM.integers(0, 256, (count, 1, 8, 8), dtype=np.uint8)


def repeated(images: np.ndarray, times: int) -> np.ndarray:
    """Each image so many times, its grey levels off by up to 3."""
    copies = np.repeat(images, times, axis=0).astype(np.int16)
    return (copies + RANDOM.integers(-3, 4, copies.shape)).clip(0, 255).astype(np.uint8)


def attack(generated: np.ndarray, training: np.ndarray, held_out: np.ndarray) -> Extraction:
    return extract(
        InMemory(generated), InMemory(training), InMemory(held_out), stages(TAA()), CONFIG, torch.device("cpu")
    )


def medoids(images: np.ndarray, share: float, repeats: int) -> list[int]:
    found, looked_at = centres(InMemory(images), share, repeats, torch.device("cpu"))
    assert looked_at == len(images)
    return found.tolist()


def test_training_images_that_come_again_and_again_are_extracted_each_counted_once() -> None:
    training, held_out = noise(40), noise(60)
    found = attack(np.concatenate([repeated(training[:10], 3), noise(50)]), training, held_out)
    assert (found.generated, found.images, found.guesses) == (80, 80, 10)
    assert (found.hit.count, found.hit.of) == (10, 40)
    assert (found.floor.count, found.floor.of) == (0, 60)


def test_a_mirrored_and_shifted_copy_is_a_hit() -> None:
    training = noise(40)
    mirrored = training[:1, :, :, ::-1]
    shifted = np.concatenate([mirrored[..., :1], mirrored[..., :-1]], axis=-1)
    assert attack(np.concatenate([repeated(shifted, 2), noise(20)]), training, noise(40)).hit.count == 1


def test_held_out_images_are_hit_by_the_same_guesses() -> None:
    training, held_out = noise(40), noise(60)
    found = attack(np.concatenate([repeated(held_out[5:9], 2), noise(20)]), training, held_out)
    assert (found.guesses, found.hit.count, found.floor.count) == (4, 0, 4)


def test_a_training_image_that_comes_once_gives_nothing_away() -> None:
    training = noise(40)
    found = attack(np.concatenate([training[:10], noise(50)]), training, noise(40))
    assert (found.guesses, found.hit.count, found.floor.count) == (0, 0, 0)
    assert (found.hit.of, found.floor.of) == (40, 40)


def test_an_image_that_the_held_out_set_holds_densely_is_counted_whole() -> None:
    training = noise(40)
    dense = repeated(noise(1), 70)  # more than `neighbours`, all within reach of one guess
    found = attack(np.concatenate([dense[:2], noise(20)]), training, np.concatenate([dense, noise(330)]))
    assert found.floor.count == 70


def test_a_groups_centre_is_the_one_nearest_to_all_others() -> None:
    levels = np.array([100, 104, 109, 240, 20], np.uint8)
    images = np.broadcast_to(levels[:, None, None, None], (5, 1, 8, 8))
    # mean squared distance, a pixel: 9,653 over the 10 pairs' mean; only the first three are alike
    assert medoids(images, 0.05, 2) == [1]
    assert medoids(images, 0.05, 4) == []


def test_equal_images_are_one_group() -> None:
    assert medoids(np.zeros((6, 1, 8, 8), np.uint8), 0.05, 2) == [0]


def test_groups_are_the_complete_linkage_clusters_of_all_images_at_once(monkeypatch) -> None:
    monkeypatch.setattr(alike, "_BLOCK_ROWS", 7)
    monkeypatch.setattr(alike, "_PANEL_BYTES", 23 * 64 * 4)  # blocks and panels that do not divide the images
    random = np.random.default_rng(3)
    # chains: each image a little off the one before it, so that a component is more than one cluster
    steps = random.integers(-24, 25, (12, 9, 1, 8, 8)).cumsum(axis=1)
    images = (random.integers(0, 256, (12, 1, 1, 8, 8)) + steps).clip(0, 255).astype(np.uint8).reshape(-1, 1, 8, 8)
    images = images[random.permutation(len(images))]
    for share in (0.02, 0.05, 0.2):
        flat = images.reshape(len(images), -1).astype(float)
        distances = pdist(flat, "sqeuclidean")
        group = fcluster(linkage(distances, "complete"), share * distances.mean(), "distance")
        expected = []
        for number in np.flatnonzero(np.bincount(group) >= 2):
            members = np.flatnonzero(group == number)
            far = [sum(((flat[a] - flat[b]) ** 2).sum() for b in members) for a in members]
            expected.append(int(members[np.argmin(far)]))
        assert medoids(images, share, 2) == sorted(expected)
        assert len(expected) > 2


def test_all_generated_images_are_looked_at_however_many() -> None:
    training = noise(40)
    made = np.concatenate([noise(4000), training[:1], noise(1000), training[:1]])
    found = attack(made, training, noise(40))
    assert (found.generated, found.images, found.guesses, found.hit.count) == (5002, 5002, 1, 1)


def test_an_excess_of_images_in_one_component_is_left_out_and_counted() -> None:
    made = np.concatenate([np.zeros((5000, 1, 8, 8), np.uint8), noise(20)])
    found = attack(made, noise(40), noise(40))
    assert (found.generated, found.images, found.guesses) == (5020, 4096 + 20, 1)


@pytest.mark.parametrize(
    ("images", "training", "repeats", "expected"),
    [
        (2, 2, 2, 0.25),  # both draws are this one
        (3, 2, 2, 0.5),  # 3 of 8 with two of it, 1 of 8 with three
        (1, 5, 2, 0.0),
        (4, 4, 1, 1 - 0.75**4),
    ],
)
def test_power_is_the_share_of_training_images_that_a_perfect_copier_repeats(
    images: int, training: int, repeats: int, expected: float
) -> None:
    assert power(images, training, repeats) == pytest.approx(expected)


def test_the_attack_has_the_power_of_the_images_that_it_looked_at() -> None:
    found = attack(noise(60), noise(40), noise(30))
    none, once = (39 / 40) ** 60, 60 * (1 / 40) * (39 / 40) ** 59
    assert found.power == pytest.approx(1 - none - once)

"""The extraction attack finds what was planted, and no more."""

import numpy as np
import torch

from unecho.components.config.fields import TAA, Evaluate
from unecho.components.measures.extraction import Extraction, centres, extract
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


def test_training_images_that_come_again_and_again_are_extracted_each_counted_once() -> None:
    training, held_out = noise(40), noise(60)
    found = attack(np.concatenate([repeated(training[:10], 3), noise(50)]), training, held_out)
    assert (found.images, found.guesses) == (80, 10)
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
    assert centres(images, 0.05, 2).tolist() == [1]
    assert centres(images, 0.05, 4).tolist() == []


def test_equal_images_are_one_group() -> None:
    assert centres(np.zeros((6, 1, 8, 8), np.uint8), 0.05, 2).tolist() == [0]

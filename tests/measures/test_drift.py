"""Drift from a base model: 0 for the same images, 1 for unrelated ones."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from unecho.components.measures.drift import apart
from unecho.components.measures.features import Pixels
from unecho.components.measures.images import InMemory

PIXELS = Pixels(torch.device("cpu"))


@dataclass(frozen=True)
class Levels:
    """The first pixel's level: features that can be reckoned with by hand."""

    name: str = "levels"
    frechet: str = "Frechet distance (levels)"
    kernel: str = "kernel distance (levels)"
    digest: str | None = None

    def __call__(self, images: np.ndarray) -> Tensor:
        return torch.from_numpy(images[:, :1, 0, 0]).float()


def levels(*values: int) -> InMemory:
    return InMemory(np.array(values, np.uint8)[:, None, None, None])


def noise(seed: int, count: int = 200) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 1, 8, 8), dtype=np.uint8)


def test_by_hand() -> None:
    found = apart(levels(0, 2), levels(1, 3), Levels())
    assert found is not None
    # pairs are 1 and 1 apart, others 3 and 1; the means differ by 1 and the variances are equal
    assert found.pairs.mean == pytest.approx(1 / 2)
    assert found.frechet == pytest.approx(1)
    assert found.images == 2


def test_the_same_images_have_not_drifted() -> None:
    found = apart(InMemory(noise(0)), InMemory(noise(0)), PIXELS)
    assert found is not None
    assert (found.pairs.mean, found.pairs.low, found.pairs.high) == (0, 0, 0)
    assert found.frechet == pytest.approx(0, abs=1e-6)


def test_unrelated_images_have_drifted_as_far_as_it_goes() -> None:
    found = apart(InMemory(noise(0)), InMemory(noise(1)), PIXELS)
    assert found is not None
    assert found.pairs.low < 1 < found.pairs.high
    assert found.pairs.high - found.pairs.low < 0.05


def test_images_in_another_order_are_other_images_of_the_same_distribution() -> None:
    found = apart(InMemory(noise(0)), InMemory(noise(0)[::-1].copy()), PIXELS)
    assert found is not None
    assert found.pairs.mean == pytest.approx(1, abs=0.03)
    assert found.frechet == pytest.approx(0, abs=1e-6)


def test_images_that_are_all_the_same_have_no_unrelated_ones_to_be_measured_by() -> None:
    found = apart(levels(7, 7), levels(7, 7), Levels())
    assert found is not None
    assert found.pairs.mean == 0


def test_one_image_is_no_set_and_unlike_numbers_are_no_pairs() -> None:
    assert apart(levels(0), levels(1), Levels()) is None
    with pytest.raises(ValueError, match="3 images and 2 of the base model are no pairs"):
        apart(levels(0, 1, 2), levels(1, 2), Levels())

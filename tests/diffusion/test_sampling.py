"""Sampling: an image is a function of weights, seed and index."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from unecho.components.config import resolve
from unecho.components.config.counts import part_bounds
from unecho.components.diffusion.pixels import Pixels, initial_network, network_config
from unecho.components.diffusion.sampling import generate, image_generator

FAMILY = Pixels(resolve("tiny"), None)


def pipeline(sampler: str):
    arguments = network_config(resolve("tiny"), 1, 8)
    state = initial_network(arguments, seed=0).state_dict()
    return FAMILY.pipeline(arguments, state, sampler)


@pytest.mark.parametrize("sampler", ["ddpm", "ddim"])
def test_a_split_at_whole_batches_gives_the_bytes_of_the_whole(sampler: str) -> None:
    pipe = pipeline(sampler)
    whole = generate(FAMILY, pipe, None, seed=3, start=0, stop=11, batch_size=4, steps=5)
    parts = [generate(FAMILY, pipe, None, 3, start, stop, 4, 5) for start, stop in ((0, 4), (4, 8), (8, 11))]
    assert whole.dtype == np.uint8
    assert whole.shape == (11, 1, 8, 8)
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert len({image.tobytes() for image in whole}) == 11
    assert (generate(FAMILY, pipe, None, 4, 0, 4, 4, 5) != whole[:4]).any()


def test_images_whose_seeds_agree_in_32_bits_have_noise_of_their_own() -> None:
    """sha256('sample 0 36060') and ('sample 0 58626') agree in the 32 bits that torch keeps of a seed on a CPU."""
    first, second = (torch.randn(64, generator=image_generator(0, index)) for index in (36060, 58626))
    assert not torch.isclose(first, second).any()


def test_no_two_of_65536_images_share_their_noise() -> None:
    noise = {torch.rand(16, generator=image_generator(0, index)).numpy().tobytes() for index in range(65_536)}
    assert len(noise) == 65_536


def test_ddpm_draws_its_noise_from_the_images_own_generator_at_every_step() -> None:
    """A batch of one and a batch of four agree but for the last bits of the arithmetic."""
    pipe = pipeline("ddpm")
    four = generate(FAMILY, pipe, None, 3, 0, 4, batch_size=4, steps=20).astype(int)
    one_by_one = generate(FAMILY, pipe, None, 3, 0, 4, batch_size=1, steps=20).astype(int)
    assert np.abs(four - one_by_one).max() <= 1


@pytest.mark.parametrize("parts", [1, 2, 3, 5])
def test_parts_cover_all_images_once_in_whole_batches(parts: int) -> None:
    config = resolve("tiny", settings=("sample.count=77", f"sample.parts={parts}"))
    bounds = [part_bounds(config, part) for part in range(parts)]
    assert bounds[0][0] == 0
    assert bounds[-1][1] == 77
    assert all(a[1] == b[0] for a, b in pairwise(bounds))
    assert all(start % 16 == 0 and start < stop for start, stop in bounds)

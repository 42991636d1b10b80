"""Sampling: an image is a function of weights, seed and index."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
import torch
from diffusers.utils import torch_utils

from unecho.components.assess.probe import STREAM
from unecho.components.config import resolve
from unecho.components.config.counts import part_bounds
from unecho.components.diffusion.arithmetic import hand_out_ahead
from unecho.components.diffusion.image_noise import ImageNoise
from unecho.components.diffusion.pixels import Pixels, initial_network, network_config
from unecho.components.diffusion.sampling import PREVIEW, generate, image_noise, ready
from unecho.components.method import philox
from unecho.components.run.companions import OWN_STREAM

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


def drawn(stream: str, seed: int, indices: Sequence[int], *shape: int) -> torch.Tensor:
    """The first noise of images, as a pipeline draws it."""
    noise = image_noise(seed, indices, stream)
    return torch_utils.randn_tensor((len(noise), *shape), generator=noise, device=torch.device("cpu"))


def test_images_whose_seeds_agree_in_32_bits_have_noise_of_their_own() -> None:
    """sha256('sample 0 36060') and ('sample 0 58626') agree in the 32 bits that torch keeps of a seed on a CPU."""
    first, second = drawn("sample", 0, [36060, 58626], 1, 8, 8)
    assert not torch.isclose(first, second).any()


def test_no_two_of_65536_images_share_their_noise() -> None:
    """As the pipeline draws it; two shared it in 39 % of sets when a generator kept 32 bits of a seed."""
    noise = torch.cat([drawn("sample", 0, range(first, first + 4096), 8) for first in range(0, 65_536, 4096)])
    assert len(torch.unique(noise, dim=0)) == 65_536


def test_no_two_uses_and_no_two_seeds_share_noise() -> None:
    uses = [OWN_STREAM, STREAM, PREVIEW, "sample for held-out captions", "sample for general prompts"]
    noise = torch.cat([drawn(stream, seed, range(8), 4) for stream in uses for seed in (0, 1)])
    assert len(torch.unique(noise)) == noise.numel()


def test_a_step_draws_the_noise_of_all_images_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """DDPM with 5 steps: the start, and the noise of all steps but the last."""
    draws: list[int] = []
    words = philox.philox
    monkeypatch.setattr(philox, "philox", lambda *given: draws.append(len(given[2])) or words(*given))
    generate(FAMILY, pipeline("ddpm"), None, seed=3, start=0, stop=6, batch_size=6, steps=5)
    assert draws == [6] * 5


def test_a_users_own_generators_draw_as_diffusers_has_them_draw() -> None:
    image_noise(0, [0])
    generators = [torch.Generator().manual_seed(seed) for seed in (1, 2)]
    found = torch_utils.randn_tensor((2, 3), generator=generators)
    assert torch.equal(found, torch.stack([torch.randn(3, generator=torch.manual_seed(seed)) for seed in (1, 2)]))


def test_ddpm_draws_its_noise_from_the_images_own_stream_at_every_step() -> None:
    """A batch of one and a batch of four agree but for the last bits of the arithmetic."""
    pipe = pipeline("ddpm")
    four = generate(FAMILY, pipe, None, 3, 0, 4, batch_size=4, steps=20).astype(int)
    one_by_one = generate(FAMILY, pipe, None, 3, 0, 4, batch_size=1, steps=20).astype(int)
    assert np.abs(four - one_by_one).max() <= 1


def test_in_bfloat16_the_network_computes_so_and_all_around_it_is_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nine bits of the prediction: images within a few grey levels; undone, the network is what it was."""
    cpu, config = torch.device("cpu"), resolve("tiny", settings=("sample.precision=bfloat16",))
    kinds: set[torch.dtype] = set()
    draw = ImageNoise.draw
    monkeypatch.setattr(ImageNoise, "draw", lambda self, *given: kinds.add(given[2]) or draw(self, *given))
    whole = generate(FAMILY, pipeline("ddpm"), None, 3, 0, 4, 4, 5).astype(int)
    half = ready(pipeline("ddpm"), config, cpu, print)
    found = generate(FAMILY, half.pipeline, None, 3, 0, 4, 4, 5).astype(int)
    assert kinds == {torch.float32}
    assert 0 < np.abs(found - whole).max() <= 12
    np.testing.assert_array_equal(generate(FAMILY, half.plain(), None, 3, 0, 4, 4, 5), whole)


@pytest.mark.parametrize("sampler", ["ddpm", "ddim"])
def test_steps_handed_out_ahead_are_those_of_diffusers(sampler: str) -> None:
    ahead = pipeline(sampler)
    hand_out_ahead(ahead)
    made = [generate(FAMILY, pipe, None, 3, 0, 4, 4, 5) for pipe in (ahead, pipeline(sampler))]
    np.testing.assert_array_equal(*made)
    ahead.scheduler.set_timesteps(5, device="meta")
    assert ahead.scheduler.timesteps.device.type == "cpu", "whose values are read at every step"


def test_a_timestep_is_sent_to_where_the_images_are() -> None:
    sent: list[torch.device] = []
    pipe = pipeline("ddim")
    pipe.unet.forward = lambda sample, timestep: sent.append(timestep.device)
    hand_out_ahead(pipe)
    pipe.unet(torch.empty(1, device="meta"), torch.tensor(7))
    assert [device.type for device in sent] == ["meta"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("sampler", ["ddpm", "ddim"])
def test_on_cuda_images_are_those_of_a_cpu_within_a_grey_level(sampler: str) -> None:
    config, made = resolve("tiny", settings=("sample.precision=float32", "compile=false")), []
    for device in ("cpu", "cuda"):
        pipe = ready(pipeline(sampler), config, torch.device(device), print).pipeline
        made.append(generate(FAMILY, pipe, None, 3, 0, 8, 4, 20).astype(int))
    assert np.abs(made[0] - made[1]).max() <= 1


@pytest.mark.parametrize("parts", [1, 2, 3, 5])
def test_parts_cover_all_images_once_in_whole_batches(parts: int) -> None:
    config = resolve("tiny", settings=("sample.count=77", f"sample.parts={parts}"))
    bounds = [part_bounds(config, part) for part in range(parts)]
    assert bounds[0][0] == 0
    assert bounds[-1][1] == 77
    assert all(a[1] == b[0] for a, b in pairwise(bounds))
    assert all(start % 16 == 0 and start < stop for start, stop in bounds)

"""Threshold-aware augmentations: pixels moved as named, drawn evenly, told to the network."""

import numpy as np
import pytest
import torch

from unecho.components.config import resolve
from unecho.components.diffusion.pixels import (
    build_network,
    condition_count,
    fold_condition,
    initial_network,
    network_config,
)
from unecho.components.method.augment import (
    Augmenter,
    augmentations,
    flip_and_shift,
    image_variants,
    magnitude_by_margin,
    randaugment,
)
from unecho.components.method.streams import begin_default


def shifted(image: np.ndarray, flip: bool, down: int, right: int) -> np.ndarray:
    """Pixel by pixel: out[y, x] = in[y - down, x - right], coordinates held inside."""
    if flip:
        image = image[:, :, ::-1]
    out = np.empty_like(image)
    _, height, width = image.shape
    for y in range(height):
        for x in range(width):
            out[:, y, x] = image[:, min(max(y - down, 0), height - 1), min(max(x - right, 0), width - 1)]
    return out


def test_flip_and_shift_repeat_the_edge_into_the_gap() -> None:
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (30, 3, 5, 7), dtype=np.uint8)
    flip, down, right = draw.random(30) < 0.5, draw.integers(-3, 4, 30), draw.integers(-3, 4, 30)
    moved = flip_and_shift(*(torch.from_numpy(a) for a in (images, flip, down, right)))
    for i in range(30):
        np.testing.assert_array_equal(moved[i].numpy(), shifted(images[i], flip[i], down[i], right[i]))


def test_conditions_are_numbered_as_the_augmentations_are_listed() -> None:
    config = resolve("digits", settings=("taa.augmentations=[horizontal_flip,shift]",))
    listed = augmentations(config.taa)
    assert len(listed) == 1 + 8  # a flip, and the eight neighbours of (0, 0)
    assert condition_count(config) == 10
    image = torch.arange(2 * 8 * 8, dtype=torch.uint8).reshape(1, 2, 8, 8)
    augmenter = Augmenter(config, torch.device("cpu"))
    for condition, a in enumerate(listed, start=1):
        out = augmenter.apply(image, torch.tensor([condition]))[0]
        np.testing.assert_array_equal(out.numpy(), shifted(image[0].numpy(), a.flip, a.down, a.right))
    assert torch.equal(augmenter.apply(image, torch.tensor([0])), image)


def test_each_kind_is_drawn_as_often_as_the_other() -> None:
    config = resolve("digits", settings=("taa.augmentations=[horizontal_flip,shift]",))
    drawn = Augmenter(config, torch.device("cpu")).draw(20_000, torch.Generator().manual_seed(0))
    counts = torch.bincount(drawn, minlength=10)
    assert counts[0] == 0
    assert abs(int(counts[1]) - 10_000) < 400  # 5.6 standard deviations
    assert all(abs(int(c) - 1250) < 200 for c in counts[2:])


def test_an_image_that_always_flips_is_flipped_half_of_the_time() -> None:
    config = resolve("digits", settings=("train.horizontal_flip=true",))
    images = torch.arange(64, dtype=torch.uint8).reshape(1, 1, 8, 8).repeat(4000, 1, 1, 1)
    torch.manual_seed(0)
    out = Augmenter(config, torch.device("cpu")).apply(images, torch.zeros(4000, dtype=torch.int64))
    flipped = (out == images.flip(3)).all(dim=(1, 2, 3))
    assert (flipped | (out == images).all(dim=(1, 2, 3))).all()
    assert abs(int(flipped.sum()) - 2000) < 200


def test_randaugment_changes_only_the_images_it_is_given_and_depends_on_their_seed_alone() -> None:
    images = torch.randint(256, (3, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    once = randaugment(images, {1: 7})
    again = randaugment(images.flip(0), {1: 7, 0: 8})
    assert torch.equal(once[[0, 2]], images[[0, 2]])
    assert not torch.equal(once[1], images[1])
    assert torch.equal(once[1], again[1])


@pytest.mark.parametrize("channels", [1, 3])
def test_the_condition_none_folds_into_a_plain_network_of_the_same_outputs(channels: int) -> None:
    config = resolve("tiny")
    arguments = network_config(config, channels, 8)
    told = initial_network(arguments, seed=3)
    with torch.no_grad():
        told.class_embedding.weight.normal_(generator=torch.Generator().manual_seed(1))
    plain = build_network({**arguments, "num_class_embeds": None})
    plain.load_state_dict(fold_condition(told.state_dict()))
    x = torch.randn(4, channels, 8, 8, generator=torch.Generator().manual_seed(2))
    t = torch.tensor([0, 10, 20, 49])
    with torch.no_grad():
        expected = told(x, t, class_labels=torch.zeros(4, dtype=torch.long)).sample
        torch.testing.assert_close(plain(x, t).sample, expected, rtol=0, atol=2e-6)


def test_a_network_that_is_told_starts_as_the_one_that_is_not() -> None:
    plain = initial_network(network_config(resolve("tiny", "iet"), 1, 8), seed=5).state_dict()
    told = initial_network(network_config(resolve("tiny", "iet-agc+"), 1, 8), seed=5).state_dict()
    rows = told.pop("class_embedding.weight")
    assert not rows.any()
    assert all(torch.equal(told[name], plain[name]) for name in plain)
    assert told.keys() == plain.keys()


def test_randaugment_has_two_operations_of_the_magnitude_asked_for() -> None:
    """The same draws by torchvision's own class."""
    from torchvision.transforms.v2 import RandAugment

    image = torch.arange(3 * 16 * 16, dtype=torch.int64).reshape(1, 3, 16, 16).remainder(251).to(torch.uint8)
    made = {magnitude: randaugment(image, {0: 7}, magnitude)[0] for magnitude in (1, 5, 9)}
    for magnitude, one in made.items():
        begin_default(torch.device("cpu"), "randaugment", 7)
        assert torch.equal(one, RandAugment(num_ops=2, magnitude=magnitude)(image[0]))
    assert torch.equal(randaugment(image, {0: 7})[0], made[9])


def test_strength_goes_by_the_mean_margin_and_by_nothing_while_the_bank_is_empty() -> None:
    """exp(-5 |1.25 loss - m| / m): 1 at loss 0.8 m, exp(-1) at loss 0.96 m or 0.64 m, next to nothing at 2 m."""

    def strength(*pairs: tuple[float, float]) -> int:
        loss, bank = torch.tensor(pairs).T
        return magnitude_by_margin(loss, bank, 1.25)

    assert strength((0.8, 1.0)) == 5
    assert strength((0.96, 1.0)) == strength((0.64, 1.0)) == strength((1.92, 2.0)) == 1  # 5 / e is 1.84
    assert strength((0.8, 1.0), (0.96, 1.0)) == 3  # 5 (1 + 1 / e) / 2 is 3.42
    assert strength((2.0, 1.0)) == 0
    assert strength((0.8, 0.0)) == 0
    assert strength((0.8, 1.0), (0.8, 0.0)) == 2  # the empty one counts as 0
    assert strength((float("nan"), 1.0)) == 0, "that the loss is no number is told elsewhere"


def test_randaugment_is_encoded_at_each_strength_where_samples_are_gated() -> None:
    def names(*settings: str) -> list[str]:
        config = resolve("tiny-text-to-image", settings=("taa.augmentations=randaugment", *settings))
        return [str(variant) for variant in image_variants(config)]

    assert names() == ["none 0", "randaugment 0", "randaugment 1"]
    gated = ("train.gate=samples", "taa.augment_conditioning=false")
    strengths = [f"randaugment of magnitude {m} {number}" for m in range(6) for number in range(2)]
    assert names(*gated) == ["none 0", *strengths]
    flipped = names(*gated, "train.horizontal_flip=true")
    assert flipped == [name + end for name in ["none 0", *strengths] for end in ("", " flipped")]

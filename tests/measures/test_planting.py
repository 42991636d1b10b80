"""Planted copies: each kind does what it says, worked out on images whose result is known."""

import pytest
import torch

from unecho.components.measures.planting import KINDS, MEANING, blurred, planted, tinted, warped


def ramp(side: int = 8) -> torch.Tensor:
    """Ten grey levels more with each column, uint8 [1, 1, side, side]."""
    return (torch.arange(side) * 10).expand(1, 1, side, side).byte()


def test_a_kind_is_named_and_explained_and_keeps_shape_and_kind_of_number() -> None:
    images = torch.randint(256, (3, 3, 16, 16), generator=torch.Generator().manual_seed(0)).byte()
    assert list(KINDS) == list(MEANING)
    for kind in KINDS:
        copies = planted(images, kind, 0)
        assert copies.shape == images.shape
        assert copies.dtype == torch.uint8
        assert torch.equal(copies, images) == (kind == "plain")
        assert torch.equal(copies, planted(images, kind, 0)), "the same seed plants the same"


def test_a_flip_is_the_mirror_image() -> None:
    assert planted(ramp(), "flip", 0)[0, 0, 0].tolist() == [70, 60, 50, 40, 30, 20, 10, 0]


def test_a_shift_is_by_an_eighth_with_the_edge_repeated() -> None:
    rows = {tuple(planted(ramp(16), "shift", seed)[0, 0, 0].tolist()) for seed in range(20)}
    right = (0, 0, *range(0, 140, 10))
    left = (*range(20, 160, 10), 150, 150)
    assert rows == {right, left}


def test_a_crop_of_three_quarters_shows_three_quarters_of_the_ramp() -> None:
    row = planted(ramp(24), "crop", 0)[0, 0, 0].float()
    inner = row[2:-2].diff().mean()
    assert inner == pytest.approx(7.5, abs=0.1)  # ten a column, of which a pixel now has three quarters


def test_a_blur_keeps_an_even_image_and_the_mean_of_a_spike() -> None:
    spike = torch.zeros(1, 1, 9, 9)
    spike[0, 0, 4, 4] = 1
    found = blurred(spike, 1.0)
    assert found.sum().item() == pytest.approx(1, abs=1e-5)
    weight = 1 / (1 + 2 * torch.exp(torch.tensor(-0.5)) + 2 * torch.exp(torch.tensor(-2.0)))  # reach 2
    assert found[0, 0, 4, 4].item() == pytest.approx(weight.item() ** 2, abs=1e-5)
    even = torch.full((1, 3, 4, 4), 0.3)
    torch.testing.assert_close(blurred(even, 1.0), even)


def test_a_tint_goes_around_the_middle_grey() -> None:
    images = torch.tensor([0.5, 1.0]).view(1, 1, 1, 2).expand(1, 2, 1, 2)
    found = tinted(images, torch.tensor([[0.5, 1.0]]), torch.tensor([0.1]))
    torch.testing.assert_close(found[0, :, 0], torch.tensor([[0.6, 0.85], [0.6, 1.1]]))


def test_a_window_is_where_it_was_asked_for() -> None:
    image = torch.arange(16.0).view(1, 1, 4, 4)
    half, none = torch.tensor([0.5]), torch.tensor([0.0])
    plain = torch.tensor([False])
    torch.testing.assert_close(warped(image, plain, torch.tensor([1.0]), none, none), image)
    # the right lower quarter is the window of half a side a quarter away: its corner pixels are pixels of the image
    quarter = warped(image, plain, half, torch.tensor([0.25]), torch.tensor([0.25]))
    assert quarter.amin() >= 10 - 1.25
    assert quarter[0, 0, -1, -1] == 15

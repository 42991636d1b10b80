"""Prompts measured on predictions made by hand."""

import numpy as np
import pytest
import torch

from unecho.components.measures.prompts import PromptValues, anisotropy, magnitude, measures_of


def test_the_magnitude_is_the_root_mean_square_of_the_difference_of_each_image() -> None:
    without, text = torch.zeros(1, 2, 3, 3), torch.zeros(2, 2, 3, 3)
    text[0], text[1, 0] = 0.5, 3.0
    assert magnitude(text, without).tolist() == pytest.approx([0.5, 3 / 2**0.5])


def test_the_anisotropy_is_the_cosine_over_channels_at_each_position_and_their_mean() -> None:
    """Without a prompt (3, 4) everywhere. Guidance along it, against it, across it, and half of each."""
    without = torch.tensor([3.0, 4.0]).reshape(1, 2, 1, 1).expand(1, 2, 1, 2)
    along, across = torch.tensor([[3.0, 3.0], [4.0, 4.0]]), torch.tensor([[-4.0, -4.0], [3.0, 3.0]])
    guidance = torch.stack([along, -along, across, along]).reshape(4, 2, 1, 2).clone()
    guidance[3, :, 0, 1] = across[:, 0]
    assert anisotropy(without + 0.1 * guidance, without).tolist() == pytest.approx([1, -1, 0, 0.5], abs=1e-5)


def test_a_model_that_heeds_no_prompt_has_a_gradient_that_is_a_number() -> None:
    text = torch.zeros(1, 2, 3, 3, requires_grad=True)
    (gradient,) = torch.autograd.grad(magnitude(text, torch.zeros(1, 2, 3, 3)).sum(), text)
    assert torch.isfinite(gradient).all()


def planted(rng: np.random.Generator, n: int, gap: float) -> PromptValues:
    """Two seeds that agree but for a little noise."""
    true = rng.normal(gap, 1, (n, 1))
    return PromptValues(true + rng.normal(0, 0.1, (n, 2)), 0.01 * (true + rng.normal(0, 0.1, (n, 2))))


def test_planted_captions_are_told_apart_and_like_ones_are_not() -> None:
    rng = np.random.default_rng(0)
    held_out, general = planted(rng, 150, 0), planted(rng, 20, -2)
    for gap, (least, most) in {0.0: (0.4, 0.6), 3.0: (0.96, 1.0)}.items():
        of = {"training": planted(rng, 150, gap), "held_out": held_out, "general": general}
        for measure in measures_of(of, seed=0):
            assert measure.auc is not None
            assert measure.detected is not None
            assert least <= measure.auc.value <= most
            assert measure.auc.low <= measure.auc.value <= measure.auc.high
            assert measure.agreement is not None
            assert measure.agreement > 0.9
            assert measure.held_out is not None
            assert measure.general is not None
            assert measure.general.median < measure.held_out.median < measure.held_out.high


def test_both_weigh_the_same_whatever_the_units_of_each() -> None:
    rng = np.random.default_rng(0)
    training, held_out = planted(rng, 40, 1), planted(rng, 40, 0)
    scaled = {
        kind: PromptValues(1000 * of.magnitude + 7, of.anisotropy)
        for kind, of in {"training": training, "held_out": held_out}.items()
    }
    plain = {"training": training, "held_out": held_out}
    one, other = (measures_of(of, seed=0)[-1] for of in (plain, scaled))
    assert one.name == "both"
    assert one.training.median == pytest.approx(other.training.median)
    assert one.auc == other.auc


def test_without_held_out_captions_values_stand_alone() -> None:
    of = measures_of({"training": planted(np.random.default_rng(0), 5, 0)}, seed=0)
    assert [measure.name for measure in of] == ["magnitude", "anisotropy", "both"]
    assert all(m.auc is None and m.detected is None and m.held_out is None for m in of)


def test_a_model_that_heeds_no_prompt_tells_none_apart() -> None:
    nothing = PromptValues(np.zeros((4, 2)), np.zeros((4, 2)))
    for measure in measures_of({"training": nothing, "held_out": nothing}, seed=0):
        assert measure.auc is not None
        assert measure.auc.value == 0.5
        assert measure.agreement is None

"""Predictions with and without a prompt: the same whatever the network predicts, and as the pipeline itself asks."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler, DiffusionPipeline
from torch import Tensor

from tests.captioned import tiny_base
from unecho.components.diffusion.guidance import Embedded, Guidance, as_epsilon, not_guided, timesteps


class ByHand(torch.nn.Module):
    """Finds the mean of a prompt's states as clean sample, whatever the latent, and says it as `predicts` wants it."""

    config = SimpleNamespace(sample_size=4, in_channels=2)

    def __init__(self, predicts: str, alphas: Tensor) -> None:
        super().__init__()
        self._predicts, self._alphas = predicts, alphas

    def forward(self, x: Tensor, t: int, encoder_hidden_states: Tensor, added_cond_kwargs: None) -> Any:
        x0 = encoder_hidden_states.mean(dim=(1, 2)).reshape(-1, 1, 1, 1).expand_as(x)
        signal, noise = self._alphas[t] ** 0.5, (1 - self._alphas[t]) ** 0.5
        epsilon = (x - signal * x0) / noise
        said = {"epsilon": epsilon, "sample": x0, "v_prediction": signal * epsilon - noise * x0}
        return SimpleNamespace(sample=said[self._predicts])


def by_hand(predicts: str) -> Guidance:
    scheduler = DDIMScheduler(num_train_timesteps=1000, prediction_type=predicts)
    unet = ByHand(predicts, scheduler.alphas_cumprod)
    pipeline: Any = SimpleNamespace(unet=unet, scheduler=scheduler, device=torch.device("cpu"))
    return Guidance(pipeline)


def test_noise_velocity_and_sample_say_the_same_noise() -> None:
    texts = Embedded(torch.tensor([0.5, -2.0, 3.0]).reshape(3, 1, 1).expand(3, 7, 5))
    found = {}
    for predicts in ("epsilon", "v_prediction", "sample"):
        guidance = by_hand(predicts)
        noise = guidance.noise(torch.Generator().manual_seed(1))
        found[predicts] = [guidance.epsilon(texts, noise, t) for t in (guidance.first, guidance.low)]
    alphas = DDIMScheduler(num_train_timesteps=1000).alphas_cumprod
    x0 = texts.states.mean(dim=(1, 2)).reshape(3, 1, 1, 1)
    for number, t in enumerate((981, 41)):
        by_rule = (noise - alphas[t] ** 0.5 * x0) / (1 - alphas[t]) ** 0.5
        for predicted in found.values():
            torch.testing.assert_close(predicted[number], by_rule, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("total", "expected"), [(1000, (981, 41)), (50, (49, 2)), (100, (99, 5)), (2, (1, 1))])
def test_the_timesteps_are_first_and_third_last_of_fifty(total: int, expected: tuple[int, int]) -> None:
    assert timesteps(total) == expected


@pytest.mark.parametrize("kind", ["sd", "sd-v", "sdxl"])
def test_a_prediction_is_the_one_that_the_pipeline_samples_with(kind: Any) -> None:
    """The pipeline is caught in its first step: what it gives its UNet is given here, and the answer is the same."""
    pipeline = DiffusionPipeline.from_pretrained(tiny_base(kind))
    pipeline.set_progress_bar_config(disable=True)
    caught: dict[str, Any] = {}

    def catch(network: Any, inputs: tuple[Any, ...], given: dict[str, Any], output: Any) -> None:
        caught.setdefault("first", (inputs, given, output[0]))

    hook = pipeline.unet.register_forward_hook(catch, with_kwargs=True)
    pipeline("a b", height=16, width=16, num_inference_steps=1, guidance_scale=3.0, output_type="latent")
    hook.remove()
    (x, t), given, (without, text) = caught["first"]
    assert not torch.equal(without, text)

    guidance, alphas = Guidance(pipeline), pipeline.scheduler.alphas_cumprod
    predicts = pipeline.scheduler.config.prediction_type
    for embedded, predicted, place in ((guidance.nothing(), without, 0), (guidance.embed(["a b"]), text, 1)):
        torch.testing.assert_close(embedded.states[0], given["encoder_hidden_states"][place])
        with torch.no_grad():
            found = guidance.epsilon(embedded, x[:1], int(t))
        expected = as_epsilon(predicted[None], x[:1], float(alphas[int(t)]), predicts)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_tokens_are_those_of_the_text_at_their_places_among_the_states() -> None:
    guidance = Guidance(DiffusionPipeline.from_pretrained(tiny_base()))
    assert guidance.tokens("a bc") == [(1, "a"), (2, "b"), (3, "c")]
    assert len(guidance.tokens("a" * 40)) == 14, "sixteen are read, two of them are the frame"


def test_a_pipeline_without_such_guidance_says_why() -> None:
    pipeline = DiffusionPipeline.from_pretrained(tiny_base())
    assert not_guided(pipeline) is None
    pipeline.unet.register_to_config(time_cond_proj_dim=8)
    assert "LCM" in (not_guided(pipeline) or "")
    other: Any = SimpleNamespace(scheduler=None)
    assert (not_guided(other) or "").startswith("the model is a SimpleNamespace, and prompts are measured of Stable")

"""Text-to-image models see what their base's own pipeline shows them, in training as in sampling."""

import json
from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    DDPMScheduler,
    DiffusionPipeline,
    EulerDiscreteScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from torch import Tensor

from tests.captioned import captioned, tiny_base
from unecho.components.diffusion import trainable_family_of
from unecho.components.diffusion.encoders import ImageEncoder, TextEncoder, vocabulary
from unecho.components.diffusion.family import Batch
from unecho.components.diffusion.latents import Latents, scaled
from unecho.components.diffusion.loading import one_line
from unecho.components.diffusion.noise import snr_weights
from unecho.components.diffusion.random_tiny import Kind
from unecho.components.failure import Fatal
from unecho.components.run.base_model import BaseModel, base_digests

CPU = torch.device("cpu")
TEXTS = ["zero and one", "a text that is much longer than sixteen letters", "", "two"]


def opened(kind: Kind = "sd", *settings: str) -> tuple[Latents, dict[str, Any], BaseModel]:
    config = captioned(f"model.pretrained={tiny_base(kind)}", *settings)
    pretrained = BaseModel(config, base_digests(config))
    family = trainable_family_of(config, pretrained)
    assert isinstance(family, Latents)
    return family, dict(family.base(3, 16)), pretrained


def pipeline_of(kind: Kind) -> DiffusionPipeline:
    pipeline = DiffusionPipeline.from_pretrained(tiny_base(kind))
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def batch_of(base: dict[str, Any], pretrained: BaseModel, condition: Tensor | None = None) -> Batch:
    text = TextEncoder(base, pretrained, CPU, torch.float32)(TEXTS)
    return Batch(torch.randn(4, 4, 8, 8), torch.zeros(4, dtype=torch.int64) if condition is None else condition, text)


@pytest.mark.parametrize("kind", ["sd", "sd-v"])
def test_text_states_are_those_of_the_pipelines_own_encoding(kind: Kind) -> None:
    _, base, pretrained = opened(kind)
    rows = TextEncoder(base, pretrained, CPU, torch.float32)(TEXTS)
    pipeline = pipeline_of(kind)
    for row, text in zip(rows, TEXTS, strict=True):
        states, none = pipeline.encode_prompt(text, CPU, 1, True)
        torch.testing.assert_close(row.reshape(states.shape[1:]), states[0])
        torch.testing.assert_close(rows[2].reshape(states.shape[1:]), none[0])


def test_xls_states_and_pooled_ones_are_those_of_its_pipeline_and_no_text_is_zeros() -> None:
    _, base, pretrained = opened("sdxl")
    rows = TextEncoder(base, pretrained, CPU, torch.float32)(TEXTS)
    pipeline = pipeline_of("sdxl")
    states, none, pooled, no_pooled = pipeline.encode_prompt([text or "x" for text in TEXTS], device=CPU)
    for i in (0, 1, 3):
        torch.testing.assert_close(rows[i], torch.cat([states[i].flatten(), pooled[i]]))
    assert not rows[2].any()
    assert torch.equal(rows[2], torch.cat([none[2].flatten(), no_pooled[2]]))


def test_xl_takes_zeros_for_no_text_where_its_index_does_not_say(tmp_path: Path) -> None:
    base = tmp_path / "base"
    copytree(tiny_base("sdxl"), base)
    index = json.loads((base / "model_index.json").read_text())
    del index["force_zeros_for_empty_prompt"]
    (base / "model_index.json").write_text(json.dumps(index))
    config = captioned(f"model.pretrained={base}")
    family = trainable_family_of(config, BaseModel(config, base_digests(config)))
    assert family.base(3, 16)["zeros_for_no_caption"], "as StableDiffusionXLPipeline does"


@pytest.mark.parametrize("lora", ["true", "false"])
def test_a_base_of_an_old_diffusers_is_sampled_at_the_runs_resolution(lora: str, tmp_path: Path) -> None:
    """Stable Diffusion 1.5's UNet says 0.6.0: its pipeline takes sizes below 64 for a mistake, and makes 512 pixels."""
    base = tmp_path / "base"
    copytree(tiny_base(), base)
    old = json.loads((base / "unet/config.json").read_text()) | {"_diffusers_version": "0.6.0"}
    (base / "unet/config.json").write_text(json.dumps(old))
    config = captioned(f"model.pretrained={base}", f"lora.enabled={lora}")
    family = trainable_family_of(config, BaseModel(config, base_digests(config)))
    network = family.base(3, 16)
    pipeline = family.pipeline(network, family.initial(network, 0), "ddim")
    assert pipeline.unet.config.sample_size == 8


def test_texts_that_are_cut_off_are_counted() -> None:
    _, base, pretrained = opened()
    assert TextEncoder(base, pretrained, CPU, torch.float32).cut(TEXTS) == 1


def test_moments_are_those_of_the_vae_and_scaled_latents_decode_to_the_image() -> None:
    family, _, pretrained = opened()
    images = torch.randint(0, 256, (5, 3, 16, 16), dtype=torch.uint8)
    encoder = ImageEncoder(pretrained, CPU, torch.float32)
    moments = encoder(images)
    assert moments.shape == (5, 8, 8, 8)
    vae = pipeline_of("sd").vae
    with torch.no_grad():
        posterior = vae.encode(images.float() / 127.5 - 1).latent_dist
    torch.testing.assert_close(moments, torch.cat([posterior.mean, posterior.logvar], 1))
    drawn = torch.stack([family.x0(moments) for _ in range(4000)]) / vae.config.scaling_factor
    torch.testing.assert_close(drawn.mean(0), posterior.mean, atol=0.1, rtol=0)
    torch.testing.assert_close(drawn.std(0), posterior.std, atol=0.1, rtol=0.05)


def test_latents_with_mean_and_std_are_scaled_as_xls_pipeline_unscales_them() -> None:
    latent = torch.randn(2, 2, 3, 3)
    vae = {"scaling_factor": 0.5, "latents_mean": [1.0, -1.0], "latents_std": [2.0, 4.0]}
    shown = scaled(latent, vae)
    mean, std = torch.tensor([1.0, -1.0]).view(1, 2, 1, 1), torch.tensor([2.0, 4.0]).view(1, 2, 1, 1)
    torch.testing.assert_close(shown * std / 0.5 + mean, latent)


@pytest.mark.parametrize("kind", ["sd", "sd-v", "sdxl"])
def test_the_loss_is_the_mean_squared_error_of_what_the_base_predicts(
    kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By hand: x_t = sqrt(a) x0 + sqrt(1 - a) n; the target is n, or sqrt(a) n - sqrt(1 - a) x0."""
    family, base, pretrained = opened(kind, "taa.enabled=false")
    network = family.trainable(base)
    network.load_state_dict(family.initial(base, 0))
    batch, t, noise = batch_of(base, pretrained), torch.tensor([0, 10, 30, 49]), torch.randn(4, 4, 8, 8)
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 50, dtype=torch.float64) ** 2
    a = (1 - betas).cumprod(0)[t].view(4, 1, 1, 1)
    x_t = (a.sqrt() * batch.x0 + (1 - a).sqrt() * noise).float()
    target = a.sqrt() * noise - (1 - a).sqrt() * batch.x0 if kind == "sd-v" else noise

    # what the pipeline of the base gives its UNet beside x_t, for the same texts
    given = given_to_unet(pipeline_of(kind), TEXTS, monkeypatch)
    plain = UNet2DConditionModel.from_pretrained(tiny_base(kind) / "unet")
    with torch.no_grad():
        predicted = plain(
            x_t, t, given["encoder_hidden_states"], added_cond_kwargs=given.get("added_cond_kwargs")
        ).sample
        found = family.losses(network, batch, t, noise)
    expected = ((predicted - target) ** 2).mean(dim=(1, 2, 3)).float()
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def given_to_unet(pipeline: DiffusionPipeline, texts: list[str], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """By what a pipeline conditions its UNet on texts, without guidance; XL's takes no text for zeros if asked so."""
    seen: dict[str, Any] = {}
    forward = UNet2DConditionModel.forward

    def spied(unet: UNet2DConditionModel, *args: Any, **more: Any) -> Any:
        seen.update(more)
        return forward(unet, *args, **more)

    monkeypatch.setattr(UNet2DConditionModel, "forward", spied)
    pipeline(texts, height=16, width=16, num_inference_steps=1, guidance_scale=1.0, output_type="latent")
    monkeypatch.undo()
    if seen.get("added_cond_kwargs"):
        empty = [i for i, text in enumerate(texts) if not text]
        seen["encoder_hidden_states"][empty] = 0
        seen["added_cond_kwargs"]["text_embeds"][empty] = 0
    return seen


def test_condition_none_adds_nothing_and_others_do() -> None:
    family, base, pretrained = opened()
    rows = base["conditions"]
    assert rows == 1 + 8 + 1 + 1  # none, the shifts of a pixel, randaugment, a word repeated
    weights = family.initial(base, 0)
    assert not weights["class_embedding.weight"].any()
    weights["class_embedding.weight"][1:] = 1.0
    network = family.trainable(base)
    network.load_state_dict(weights)
    t, noise = torch.tensor([3, 3, 3, 3]), torch.randn(4, 4, 8, 8)
    batch = batch_of(base, pretrained, torch.tensor([0, 0, 1, rows - 1]))
    plain_family, plain_base, _ = opened("sd", "taa.augment_conditioning=false")
    assert plain_base["conditions"] is None
    plain = plain_family.trainable(plain_base)
    plain.load_state_dict(plain_family.initial(plain_base, 0))
    with torch.no_grad():
        told, without = family.losses(network, batch, t, noise), plain_family.losses(plain, batch, t, noise)
    assert (told == without).tolist() == [True, True, False, False]


@pytest.mark.parametrize(
    ("prediction", "weight"),
    [
        ("epsilon", lambda snr, gamma: min(snr, gamma) / snr),
        ("v_prediction", lambda snr, gamma: min(snr, gamma) / (snr + 1)),
        ("sample", lambda snr, gamma: min(snr, gamma)),
    ],
)
def test_min_snr_weights_are_the_papers(prediction: str, weight: Any) -> None:
    schedule = DDPMScheduler(100, prediction_type=prediction)
    alphas = np.cumprod(1 - np.linspace(1e-4, 0.02, 100))
    found = snr_weights(schedule, torch.arange(100), 5.0)
    np.testing.assert_allclose(found, [weight(a / (1 - a), 5.0) for a in alphas], rtol=1e-3)


def test_without_gamma_all_losses_weigh_alike() -> None:
    assert opened()[0].weights_of(torch.arange(3)) is None
    weights = opened("sd", "train.min_snr_gamma=5")[0].weights_of(torch.tensor([0, 49]))
    assert weights is not None
    assert weights[0] < weights[1] <= 1


@pytest.mark.parametrize(("kind", "of"), [("sd", StableDiffusionPipeline), ("sdxl", StableDiffusionXLPipeline)])
def test_an_untrained_models_images_are_the_bases_own(kind: Kind, of: type) -> None:
    family, base, _ = opened(kind)
    pipeline = family.pipeline(base, family.initial(base, 0), "base")
    assert type(pipeline) is of
    own = pipeline_of(kind)
    assert type(pipeline.scheduler) is type(own.scheduler)

    def noise() -> list[torch.Generator]:
        return [torch.Generator().manual_seed(i) for i in range(2)]

    expected = own(
        TEXTS[:2], generator=noise(), num_inference_steps=3, guidance_scale=3.0, output_type="np", height=16, width=16
    ).images
    np.testing.assert_array_equal(family.images(pipeline, noise(), TEXTS[:2], 3), expected)


def test_the_samplers_keep_the_bases_schedule_and_clip_nothing_that_it_does_not() -> None:
    family, base, _ = opened("sd-v")
    weights = family.initial(base, 0)
    for sampler, name in (("ddpm", "DDPMScheduler"), ("ddim", "DDIMScheduler"), ("base", "DDIMScheduler")):
        scheduler = family.pipeline(base, weights, sampler).scheduler
        assert type(scheduler).__name__ == name
        assert scheduler.config.prediction_type == "v_prediction"
        assert scheduler.config.beta_schedule == "scaled_linear"
    # a scheduler of a class that never clips says nothing of it, and latents are not in [-1, 1]
    euler = dict(EulerDiscreteScheduler(num_train_timesteps=50, steps_offset=1).config)
    euler = {name: value for name, value in euler.items() if not name.startswith("_")}
    assert "clip_sample" not in euler
    for sampler in ("ddpm", "ddim"):
        told = {**base, "scheduler": euler | {"_class_name": "EulerDiscreteScheduler"}}
        assert family.pipeline(told, weights, sampler).scheduler.config.clip_sample is False


def test_words_for_replacing_are_the_tokenizers_own() -> None:
    found = vocabulary(opened()[2])
    assert found == [chr(ord("a") + i) for i in range(26)]


def test_a_release_has_the_bases_own_tokenizer_files_and_no_pickle_that_lies_beside_them(tmp_path: Path) -> None:
    base_folder = copytree(tiny_base(), tmp_path / "base")
    (base_folder / "tokenizer" / "merges.txt").write_text("#version: 0.2\n")
    (base_folder / "tokenizer" / "notes.pkl").write_bytes(b"\x80")
    config = captioned(f"model.pretrained={base_folder}")
    family = trainable_family_of(config, BaseModel(config, base_digests(config)))
    base = family.base(3, 16)
    family.release(base, family.initial(base, 0), tmp_path / "release")
    released = tmp_path / "release" / "tokenizer"
    for name in ("merges.txt", "tokenizer.json", "tokenizer_config.json"):
        assert (released / name).read_bytes() == (base_folder / "tokenizer" / name).read_bytes(), name
    assert not (released / "notes.pkl").exists()
    DiffusionPipeline.from_pretrained(tmp_path / "release")


@pytest.mark.parametrize(
    "error",
    [OSError(28, "No space left on device"), torch.OutOfMemoryError("CUDA out of memory")],
    ids=["disk", "memory"],
)
def test_a_full_disk_or_memory_is_not_blamed_on_the_base_model(error: Exception) -> None:
    with pytest.raises(type(error)), one_line("model.pretrained: base"):
        raise error
    with (
        pytest.raises(Fatal, match=r"^model\.pretrained: base: diffusers cannot load it: no file named x"),
        one_line("model.pretrained: base"),
    ):
        raise OSError("no file named x")

"""Pipelines that are given are sampled as their own folder says, or refused in one line."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMPipeline, DiffusionPipeline, StableDiffusionPipeline
from safetensors.torch import load_file, save_file

from tests.captioned import put_base, tiny_base
from tests.given import save_ddpm, save_ldm
from unecho.components.config import RunConfig, resolve
from unecho.components.diffusion import given_of
from unecho.components.diffusion.given import Given
from unecho.components.diffusion.random_tiny import Kind
from unecho.components.diffusion.sampling import generate, image_noise
from unecho.components.failure import Fatal
from unecho.components.run.base_model import BaseModel, base_digests

WEIGHTS = "unet/diffusion_pytorch_model.safetensors"
Spoil = Callable[[Path], object]


def audit(model: Path | str, *settings: str) -> RunConfig:
    return resolve(None, settings=(f"audit.model={model}", "sample.sampler=base", "sample.steps=4", *settings))


def given(model: Path | str, *settings: str) -> Given:
    config = audit(model, *settings)
    return given_of(config, BaseModel(config, base_digests(config)))


def images(of: Given, sampler: str, start: int = 0, stop: int = 4, steps: int = 4) -> np.ndarray:
    prompts = (lambda indices: [f"one {index}" for index in indices]) if of.prompted else None
    return generate(of, of.pipeline({}, {}, sampler), prompts, 3, start, stop, 2, steps)


def edit(file: Path, **fields: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))


def of_class(name: Any) -> Spoil:
    return lambda base: edit(base / "model_index.json", _class_name=name)


class TestImages:
    @pytest.fixture
    def ddpm(self, tmp_path: Path) -> Path:
        return save_ddpm(tmp_path / "ddpm")

    @pytest.mark.parametrize("sampler", ["base", "ddpm"])
    def test_are_those_that_diffusers_itself_makes_of_the_folder(self, ddpm: Path, sampler: str) -> None:
        made = images(given(ddpm), sampler, stop=2)
        pipeline = DiffusionPipeline.from_pretrained(ddpm)
        generators = image_noise(3, range(2))
        own = pipeline(batch_size=2, generator=generators, num_inference_steps=4, output_type="np").images
        np.testing.assert_array_equal(made, (own * 255).round().astype(np.uint8).transpose(0, 3, 1, 2))

    def test_of_ddim_are_those_of_a_ddim_pipeline_of_the_folder(self, ddpm: Path) -> None:
        made = images(given(ddpm, "sample.sampler=ddim"), "ddim", stop=2)
        pipeline = DDIMPipeline.from_pretrained(ddpm)
        generators = image_noise(3, range(2))
        own = pipeline(batch_size=2, generator=generators, num_inference_steps=4, output_type="np").images
        np.testing.assert_array_equal(made, (own * 255).round().astype(np.uint8).transpose(0, 3, 1, 2))

    def test_of_a_ddim_folder_may_be_sampled_by_ddpm(self, ddpm: Path, tmp_path: Path) -> None:
        DDIMPipeline.from_pretrained(ddpm).save_pretrained(tmp_path / "ddim")
        by_ddpm = images(given(ddpm, "sample.sampler=ddpm"), "ddpm")
        np.testing.assert_array_equal(images(given(tmp_path / "ddim", "sample.sampler=ddpm"), "ddpm"), by_ddpm)

    @pytest.mark.parametrize("kind", ["sd", "sdxl"])
    def test_of_a_text_are_those_that_diffusers_itself_makes(self, kind: Kind) -> None:
        made = images(given(tiny_base(kind)), "base", stop=2)
        pipeline = DiffusionPipeline.from_pretrained(tiny_base(kind))
        own = pipeline(
            ["one 0", "one 1"],
            height=16,
            width=16,
            generator=image_noise(3, range(2)),
            num_inference_steps=4,
            guidance_scale=7.5,
            output_type="np",
        ).images
        np.testing.assert_array_equal(made, (own * 255).round().astype(np.uint8).transpose(0, 3, 1, 2))

    @pytest.mark.parametrize("sampler", ["base", "ddpm", "ddim"])
    def test_do_not_depend_on_how_the_work_is_split(self, sampler: str, tmp_path: Path) -> None:
        """LDMPipeline hands no generator to its scheduler: DDPM's steps draw from the default one."""
        ldm = given(save_ldm(tmp_path), f"sample.sampler={sampler}")
        whole = images(ldm, sampler)
        torch.manual_seed(99)  # whatever was drawn before
        np.testing.assert_array_equal(np.concatenate([images(ldm, sampler, 0, 2), images(ldm, sampler, 2, 4)]), whole)
        assert len({image.tobytes() for image in whole}) == 4

    def test_leave_the_default_generator_as_it_was(self, ddpm: Path) -> None:
        of = given(ddpm)
        torch.manual_seed(5)
        expected = torch.rand(1)
        torch.manual_seed(5)
        images(of, "base")
        assert torch.equal(torch.rand(1), expected)

    def test_of_a_model_trained_on_0_to_1_have_every_level_back(self) -> None:
        """diffusers gives x / 2 + 0.5 in float32; x = level / 255 is what the model has learnt."""

        class Told(Given):
            def __init__(self, shape: tuple[int, int]) -> None:
                self._shape, self._values = shape, "0..1"

        levels = np.arange(256, dtype=np.float32).reshape(1, 16, 16, 1) / np.float32(255)

        class Pipeline:
            device = torch.device("cpu")

            def __call__(self, **asked: object) -> object:
                x = torch.from_numpy(levels)
                return type("Output", (), {"images": (x / 2 + 0.5).clamp(0, 1).numpy()})

        made = generate(Told((1, 16)), Pipeline(), None, 0, 0, 1, 1, 1)  # type: ignore[arg-type]
        np.testing.assert_array_equal(made.ravel(), np.arange(256))

    def test_whose_values_are_no_numbers_are_one_line(self, ddpm: Path) -> None:
        tensors = {name: torch.full_like(tensor, torch.nan) for name, tensor in load_file(ddpm / WEIGHTS).items()}
        save_file(tensors, ddpm / WEIGHTS, metadata={"format": "pt"})
        with pytest.raises(Fatal, match=rf"^audit.model: {ddpm}: it made .* 0% of them numbers"):
            images(given(ddpm), "base")


class TestShape:
    @pytest.mark.parametrize(("channels", "side"), [(1, 8), (3, 16)])
    def test_of_pixels_is_the_networks(self, channels: int, side: int, tmp_path: Path) -> None:
        assert given(save_ddpm(tmp_path, side, channels)).shape() == (channels, side)

    @pytest.mark.parametrize("kind", ["sd", "sdxl"])
    def test_of_latents_is_what_the_decoder_makes_of_them(self, kind: Kind) -> None:
        """Latents of 8x8 through two levels, one of which doubles."""
        assert given(tiny_base(kind)).shape() == (3, 16)

    def test_of_unconditional_latents_too(self, tmp_path: Path) -> None:
        assert given(save_ldm(tmp_path)).shape() == (3, 16)

    @pytest.mark.filterwarnings("ignore:The configuration file of the unet:FutureWarning")
    def test_of_a_folder_older_than_diffusers_0_9_is_what_its_pipeline_takes_it_for(self, tmp_path: Path) -> None:
        """The first configs of Stable Diffusion 1 say 32 for latents of 64."""
        base = spoilt(tmp_path, lambda b: edit(b / "unet/config.json", sample_size=32, _diffusers_version="0.6.0"))
        own = StableDiffusionPipeline.from_pretrained(base).unet.config.sample_size
        assert given(base).shape() == (3, 2 * own) == (3, 128)

    def test_reads_no_weights(self, tmp_path: Path) -> None:
        config = audit(save_ddpm(tmp_path))
        digests = base_digests(config)
        (tmp_path / WEIGHTS).unlink()
        assert given_of(config, BaseModel(config, digests)).shape() == (1, 8)

    def test_that_no_config_says_is_data_resolution(self, tmp_path: Path) -> None:
        base = spoilt(tmp_path, lambda b: edit(b / "unet/config.json", sample_size=None))
        with pytest.raises(Fatal, match=r"^data.resolution: auto, but the configs of audit.model: .* do not say"):
            given(base)
        assert given(base, "data.resolution=24").shape() == (3, 24)


def test_a_class_that_is_told_by_its_signature_is_sampled(tmp_path: Path) -> None:
    base = spoilt(tmp_path, of_class("StableDiffusionPAGPipeline"))
    of = given(base)
    assert of.prompted
    assert images(of, "base").shape == (4, 3, 16, 16)


def test_what_a_release_has_beside_its_pipeline_is_not_read(tmp_path: Path) -> None:
    base = spoilt(tmp_path, lambda b: (b / "lora").mkdir())
    (base / "lora/pytorch_lora_weights.safetensors").write_bytes(b"adapters")
    (base / "README.md").write_text("a model")
    assert base_digests(audit(base)) == base_digests(audit(tiny_base()))


def test_a_folder_in_half_precision_alone_is_taken_in_float32(tmp_path: Path) -> None:
    base = spoilt(tmp_path, lambda b: None)
    for file in base.glob("*/*.safetensors"):
        tensors = {name: tensor.half() for name, tensor in load_file(file).items()}
        save_file(tensors, file.with_name(file.name.replace(".safe", ".fp16.safe")), metadata={"format": "pt"})
        file.unlink()
    pipeline = given(base).pipeline({}, {}, "base")
    assert {part.dtype for part in (pipeline.unet, pipeline.vae, pipeline.text_encoder)} == {torch.float32}


def spoilt(tmp_path: Path, spoil: Spoil) -> Path:
    base = tmp_path / "base"
    shutil.copytree(tiny_base(), base)
    spoil(base)
    return base


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        pytest.param(lambda b: (b / "model_index.json").unlink(), "no model_index.json there", id="no index"),
        pytest.param(
            of_class("StableDiffusionInpaintPipeline"), "a StableDiffusionInpaintPipeline takes", id="inpaint"
        ),
        pytest.param(
            of_class("StableDiffusionImg2ImgPipeline"), "a StableDiffusionImg2ImgPipeline takes", id="img2img"
        ),
        pytest.param(of_class("DiTPipeline"), "a DiTPipeline makes images of a class", id="class-conditional"),
        pytest.param(of_class("CogVideoXPipeline"), "a CogVideoXPipeline takes or makes more than", id="video"),
        pytest.param(of_class("MyPipeline"), "a MyPipeline is no pipeline of diffusers", id="unknown class"),
        pytest.param(of_class("AutoencoderKL"), "a AutoencoderKL is no pipeline of diffusers", id="no pipeline"),
        pytest.param(of_class(["mine", "MyPipeline"]), "code of its own, which is never run", id="custom pipeline"),
        pytest.param(
            lambda b: edit(b / "model_index.json", unet=["my_unet", "MyUNet"]),
            "its unet is a my_unet.MyUNet, code of its own, which is never run",
            id="custom component",
        ),
        pytest.param(
            lambda b: [file.rename(file.with_suffix(".bin")) for file in b.glob("*/*.safetensors")],
            r"/ has no weights as safetensors, it holds .*model\.bin",
            id="pickles alone",
        ),
        pytest.param(lambda b: shutil.rmtree(b / "vae"), "it has no vae/, of which its pipeline needs", id="no VAE"),
    ],
)
def test_a_folder_that_cannot_be_audited_is_refused_by_the_plan(spoil: Spoil, says: str, tmp_path: Path) -> None:
    base = spoilt(tmp_path, spoil)
    with pytest.raises(Fatal, match=rf"^audit.model: {base}: .*{says}") as failed:
        base_digests(audit(base))
    assert "\n" not in str(failed.value)


@pytest.mark.parametrize(
    ("spoil", "settings", "says"),
    [
        (lambda b: edit(b / "unet/config.json", in_channels=9), (), "audit.model: .* an inpainting or depth model"),
        (lambda b: edit(b / "unet/config.json", sample_size=[8, 16]), (), "audit.model: .* its images are 8x16, only"),
        (lambda b: edit(b / "vae/config.json", out_channels=4), (), "audit.model: .* its images have 4 channels"),
        (lambda b: (b / "vae/config.json").write_text("["), (), "audit.model: .*: vae/config.json: not JSON"),
        (lambda b: None, ("sample.steps=51",), "sample.steps: 51: .* was trained with 50 timesteps: lower it"),
        (lambda b: None, ("sample.steps=50",), "sample.steps: 50: .* would begin at timestep 50, and its last is 49"),
        (lambda b: None, ("audit.values=0..1",), "audit.values: 0..1: the values of a StableDiffusionPipeline need no"),
        (
            lambda b: (b / "scheduler/scheduler_config.json").write_text('{"num_train_timesteps": 50}'),
            ("sample.sampler=ddim",),
            "sample.sampler: ddim: the DDIMScheduler of .* has no beta schedule",
        ),
        (
            lambda b: edit(b / "model_index.json", scheduler=["diffusers", "NoScheduler"]),
            (),
            "sample.sampler: base: diffusers has no NoScheduler",
        ),
    ],
)
def test_what_does_not_fit_is_one_line_before_weights_are_read(
    spoil: Spoil, settings: tuple[str, ...], says: str, tmp_path: Path
) -> None:
    base = spoilt(tmp_path, spoil)
    with pytest.raises(Fatal, match=f"^{says}") as failed:
        given(base, *settings)
    assert "\n" not in str(failed.value)


def test_a_network_of_pixels_that_is_told_a_class_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Fatal, match=r"^audit.model: .*: its network makes images of a class"):
        given(save_ddpm(tmp_path, num_class_embeds=4))


def test_a_scheduler_that_its_pipeline_cannot_step_with_is_one_line(tmp_path: Path) -> None:
    save_ddpm(tmp_path)
    edit(tmp_path / "model_index.json", scheduler=["diffusers", "PNDMScheduler"])
    with pytest.raises(Fatal, match=r"^sample.sampler: base: a DDPMPipeline cannot step with the PNDMScheduler"):
        given(tmp_path)
    assert images(given(tmp_path, "sample.sampler=ddim"), "ddim").shape == (4, 1, 8, 8)


def test_weights_that_are_cut_off_are_one_line(tmp_path: Path) -> None:
    save_ddpm(tmp_path)
    (tmp_path / WEIGHTS).write_bytes((tmp_path / WEIGHTS).read_bytes()[:1000])
    with pytest.raises(Fatal, match=rf"^audit.model: {tmp_path}: diffusers cannot load it"):
        given(tmp_path).pipeline({}, {}, "base")


def test_a_model_in_a_bucket_is_the_model_of_the_directory(s3_root: str, tmp_path: Path) -> None:
    in_bucket = given(put_base(s3_root), f"execution.cache_dir={tmp_path}")
    np.testing.assert_array_equal(images(in_bucket, "base", stop=2), images(given(tiny_base()), "base", stop=2))


def test_a_model_that_changed_after_the_plan_is_refused(tmp_path: Path) -> None:
    config = audit(save_ddpm(tmp_path))
    digests = base_digests(config)
    changed = bytearray((tmp_path / WEIGHTS).read_bytes())
    changed[-1] ^= 1
    (tmp_path / WEIGHTS).write_bytes(changed)
    with pytest.raises(Fatal, match=rf"^audit.model: {tmp_path}: {WEIGHTS} holds something else than when"):
        given_of(config, BaseModel(config, digests)).pipeline({}, {}, "base")

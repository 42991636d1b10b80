"""Pretrained pipelines that cannot be trained are one line that names what is wrong, exit status 2."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file, save_file

from tests.captioned import captioned, tiny_base
from unecho.components.config import RunConfig
from unecho.components.diffusion import trainable_family_of
from unecho.components.diffusion.base_folder import PIPELINES, wanted_files
from unecho.components.diffusion.encoders import ImageEncoder, TextEncoder
from unecho.components.failure import Fatal
from unecho.components.run.base_model import BaseModel, base_digests
from unecho.pipelines.commands import main

WEIGHTS = "diffusion_pytorch_model.safetensors"
CPU = torch.device("cpu")

Spoil = Callable[[Path], object]


def edit(file: Path, **fields: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))


def of_class(name: str) -> Spoil:
    return lambda base: edit(base / "model_index.json", _class_name=name)


def without(component: str) -> Spoil:
    return lambda base: shutil.rmtree(base / component)


def cut(file: str) -> Spoil:
    def spoil(base: Path) -> None:
        data = (base / file).read_bytes()
        (base / file).write_bytes(data[: len(data) // 2])

    return spoil


def lacking(file: str) -> Spoil:
    """The file is whole and its first tensor is missing."""

    def spoil(base: Path) -> None:
        tensors = load_file(base / file)
        tensors.pop(min(tensors))
        save_file(tensors, base / file, metadata={"format": "pt"})

    return spoil


def pickled(base: Path) -> None:
    for file in base.glob("*/*.safetensors"):
        file.rename(file.with_suffix(".bin"))


def as_flux(base: Path) -> None:
    of_class("FluxPipeline")(base)
    (base / "unet").rename(base / "transformer")


def spoilt(tmp_path: Path, spoil: Spoil) -> Path:
    base = tmp_path / "base"
    shutil.copytree(tiny_base(), base)
    spoil(base)
    return base


def read_all(config: RunConfig) -> None:
    """What the steps do with the base model, without a data set."""
    pretrained = BaseModel(config, base_digests(config))
    family = trainable_family_of(config, pretrained)
    base = family.base(3, 16)
    ImageEncoder(pretrained, CPU, torch.float32)
    TextEncoder(base, pretrained, CPU, torch.float32)
    family.initial(base, 0)


def initial(config: RunConfig, channels: int = 3, resolution: int = 16) -> dict[str, torch.Tensor]:
    family = trainable_family_of(config, BaseModel(config, base_digests(config)))
    return family.initial(family.base(channels, resolution), 0)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        pytest.param(lambda b: (b / "model_index.json").unlink(), "no model_index.json there", id="no index"),
        pytest.param(pickled, r"/ has no weights as safetensors, it holds .*model\.bin", id="pickles alone"),
        pytest.param(
            of_class("StableDiffusionInpaintPipeline"),
            "a StableDiffusionInpaintPipeline is not text-to-image: give the StableDiffusionPipeline or",
            id="inpainting",
        ),
        pytest.param(
            of_class("StableDiffusionXLImg2ImgPipeline"),
            "a StableDiffusionXLImg2ImgPipeline is not text-to-image",
            id="image to image",
        ),
        pytest.param(
            as_flux,
            "a FluxPipeline cannot be fine-tuned here: give a StableDiffusionPipeline or StableDiffusionXLPipeline",
            id="Flux",
        ),
        pytest.param(of_class("StableDiffusion3Pipeline"), "a StableDiffusion3Pipeline cannot be", id="SD3"),
        pytest.param(
            of_class("DDPMPipeline"), "a DDPMPipeline is not text-to-image: set model.family=pixels", id="pixels"
        ),
        pytest.param(without("vae"), "it has no vae/", id="no VAE"),
        pytest.param(without("unet"), "it has no unet/", id="no UNet"),
        pytest.param(without("text_encoder"), "it has no text_encoder/", id="no text encoder"),
        pytest.param(without("tokenizer"), "it has no tokenizer/", id="no tokenizer"),
        pytest.param(without("scheduler"), "it has no scheduler/", id="no scheduler"),
        pytest.param(
            lambda b: edit(b / "model_index.json", scheduler=None), "says null of scheduler", id="null in the index"
        ),
        pytest.param(
            lambda b: edit(b / "model_index.json", vae=["diffusers", "AutoencoderTiny"]),
            "its vae is a AutoencoderTiny: only AutoencoderKL",
            id="another VAE",
        ),
    ],
)
def test_a_folder_that_cannot_be_trained_is_refused_by_the_plan(spoil: Spoil, says: str, tmp_path: Path) -> None:
    base = spoilt(tmp_path, spoil)
    with pytest.raises(Fatal, match=says) as failed:
        base_digests(captioned(f"model.pretrained={base}"))
    assert str(failed.value).startswith("model.pretrained: ")
    assert str(base) in str(failed.value)
    assert "\n" not in str(failed.value)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        pytest.param(cut(f"unet/{WEIGHTS}"), "unet/diffusion_pytorch_model.safetensors", id="UNet cut off"),
        pytest.param(cut(f"vae/{WEIGHTS}"), "vae/diffusion_pytorch_model.safetensors", id="VAE cut off"),
        pytest.param(cut("text_encoder/model.safetensors"), "cannot load it", id="text encoder cut off"),
        pytest.param(lacking(f"unet/{WEIGHTS}"), r"unet/: its weights lack conv_in.bias \(1 missing", id="UNet lacks"),
        pytest.param(lacking(f"vae/{WEIGHTS}"), "vae/: its weights lack decoder.conv_in.bias", id="VAE lacks"),
        pytest.param(
            lacking("text_encoder/model.safetensors"), "text_encoder/: its weights lack", id="text encoder lacks"
        ),
        pytest.param(lambda b: (b / "unet/config.json").write_text("{"), "unet/config.json: not JSON", id="not JSON"),
        pytest.param(lambda b: (b / "vae/config.json").write_text("[]"), "vae/config.json: not an object", id="a list"),
        pytest.param(
            lambda b: edit(b / "unet/config.json", in_channels=9), "an inpainting or depth model", id="nine channels"
        ),
        pytest.param(
            lambda b: edit(b / "unet/config.json", block_out_channels=[8, 16]), "cannot load it", id="another shape"
        ),
        pytest.param(lambda b: edit(b / "unet/config.json", num_class_embeds=4), "class labels", id="class labels"),
        pytest.param(lambda b: edit(b / "unet/config.json", time_cond_proj_dim=8), "told the guidance", id="LCM"),
        pytest.param(
            lambda b: (b / "scheduler/scheduler_config.json").write_text('{"num_train_timesteps": 50}'),
            "has no beta_schedule",
            id="flow matching",
        ),
        pytest.param(
            lambda b: edit(b / "scheduler/scheduler_config.json", prediction_type="flow_prediction"),
            "prediction_type is flow_prediction",
            id="predicts a flow",
        ),
    ],
)
def test_damage_that_shows_when_it_is_read_is_one_line(spoil: Spoil, says: str, tmp_path: Path) -> None:
    base = spoilt(tmp_path, spoil)
    with pytest.raises(Fatal, match=says) as failed:
        read_all(captioned(f"model.pretrained={base}"))
    assert str(base) in str(failed.value)
    assert "\n" not in str(failed.value)


@pytest.mark.parametrize(
    ("settings", "channels", "resolution", "says"),
    [
        ((), 3, 15, r"data.resolution: 15: the base model's VAE .*choose a multiple of 4"),
        ((), 3, 18, r"data.resolution: 18: the base model's UNet halves its latents of 9 1 times: .* multiple of 4"),
        ((), 1, 16, r"data.channels: 1: the base model's VAE takes 3 channels: set data.channels=3"),
        (("noise.timesteps=1000",), 3, 16, r"noise.timesteps: 1000, but .* was trained with 50"),
        (("sample.steps=50", "sample.sampler=ddim"), 3, 16, "sample.steps: 50: .* begin at timestep 50, .* last is 49"),
        (("sample.steps=50", "sample.sampler=base"), 3, 16, "sample.steps: 50: .* begin at timestep 50, .* last is 49"),
        (
            ("lora.enabled=true", "lora.target_modules=to_q,nothing"),
            3,
            16,
            r"lora.target_modules: 'nothing' is the end of no module's name",
        ),
        (("lora.enabled=true", "lora.target_modules=norm1"), 3, 16, r"lora.target_modules: norm1: "),
    ],
)
def test_settings_that_the_base_model_does_not_fit_name_their_field(
    settings: tuple[str, ...], channels: int, resolution: int, says: str
) -> None:
    config = captioned(*settings)
    with pytest.raises(Fatal, match=f"^{says}"):
        initial(config, channels, resolution)


def test_steps_that_the_pipeline_itself_moves_beyond_the_schedule_name_their_field(tmp_path: Path) -> None:
    """StableDiffusionPipeline sets an offset of 1, whatever the base's scheduler says."""
    base = spoilt(tmp_path, lambda b: edit(b / "scheduler/scheduler_config.json", steps_offset=0))
    with pytest.raises(Fatal, match=r"^sample.steps: 50: .* begin at timestep 50"):
        initial(captioned(f"model.pretrained={base}", "sample.steps=50"), 3, 16)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ("train.precision=float16", "train.precision: float16 is not allowed"),
        ("model.pretrained=null", "model.pretrained: needed by model.family latents"),
        ("sample.prompts=file", "sample.prompts_file: needed by sample.prompts file"),
        ("taa.augmentations=other_caption", "taa.augmentations: other_caption is already what every visit has"),
        ("model.family=pixels lora.enabled=true", "lora.enabled: true is for model.family latents, not pixels"),
    ],
)
def test_settings_that_do_not_fit_together_name_their_field(settings: str, says: str) -> None:
    with pytest.raises(Fatal, match=f"^{says}"):
        captioned(*settings.split())


@pytest.mark.parametrize("command", ["plan", "run"])
@pytest.mark.parametrize(
    ("spoil", "says"), [(as_flux, "a FluxPipeline cannot be fine-tuned"), (without("tokenizer"), "it has no tokenizer")]
)
def test_commands_say_it_in_one_line_with_exit_status_2(
    command: str, spoil: Spoil, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = captioned(f"model.pretrained={spoilt(tmp_path, spoil)}")
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(json.loads(config.model_dump_json(exclude={"preset", "variant"}))))
    where = ["--root", str(tmp_path / "root"), "--name", "a"] if command == "run" else []
    assert main([command, *where, "--config", str(file)]) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.strip()]
    assert len(errors) == 1
    assert says in errors[0]
    assert not (tmp_path / "root/runs/a/plans").exists()


def unet_of(base: Path) -> dict[str, torch.Tensor]:
    return initial(captioned(f"model.pretrained={base}", "taa.enabled=false"))


def test_a_base_in_half_precision_alone_is_taken_in_float32(tmp_path: Path) -> None:
    base = spoilt(tmp_path, lambda b: None)
    for file in base.glob("*/*.safetensors"):
        tensors = {name: tensor.half() for name, tensor in load_file(file).items()}
        save_file(tensors, file.with_name(file.name.replace(".safe", ".fp16.safe")), metadata={"format": "pt"})
        file.unlink()
    read_all(captioned(f"model.pretrained={base}"))
    found, whole = unet_of(base), unet_of(tiny_base())
    assert found.keys() == whole.keys()
    assert all(tensor.dtype == torch.float32 for tensor in found.values())
    assert all(torch.equal(found[name], whole[name].half().float()) for name in whole)


def test_components_may_differ_in_the_precision_that_they_come_in(tmp_path: Path) -> None:
    """Where both are there, the whole one is read; where one component has half precision alone, only it is halved."""
    base = spoilt(tmp_path, lambda b: None)
    vae, unet = base / "vae" / WEIGHTS, base / "unet" / WEIGHTS
    for file in (vae, unet):
        tensors = {name: tensor.half() for name, tensor in load_file(file).items()}
        save_file(tensors, file.with_name(file.name.replace(".safe", ".fp16.safe")), metadata={"format": "pt"})
    vae.unlink()
    config = captioned(f"model.pretrained={base}", "taa.enabled=false")
    digests = base_digests(config)
    assert digests is not None
    assert {path for path in digests if path.endswith("safetensors")} == {
        "text_encoder/model.safetensors",
        f"unet/{WEIGHTS}",
        "vae/diffusion_pytorch_model.fp16.safetensors",
    }
    read_all(config)
    family = trainable_family_of(config, BaseModel(config, digests))
    shape = family.base(3, 16)
    pipeline = family.pipeline(shape, family.initial(shape, 0), "ddim")
    expected = load_file(base / "vae/diffusion_pytorch_model.fp16.safetensors")
    assert all(torch.equal(pipeline.vae.state_dict()[name], tensor.float()) for name, tensor in expected.items())


def test_weights_in_several_files_are_read_whole(tmp_path: Path) -> None:
    base = spoilt(tmp_path, without("unet"))
    UNet2DConditionModel.from_pretrained(tiny_base() / "unet").save_pretrained(base / "unet", max_shard_size="50KB")
    shards = sorted(path.name for path in (base / "unet").glob("*.safetensors"))
    assert len(shards) > 2
    digests = base_digests(captioned(f"model.pretrained={base}"))
    assert digests is not None
    assert {f"unet/{name}" for name in (*shards, f"{WEIGHTS}.index.json")} <= digests.keys()
    found, whole = unet_of(base), unet_of(tiny_base())
    assert all(torch.equal(found[name], whole[name]) for name in whole)


def test_only_what_is_read_counts() -> None:
    names = [
        "model_index.json",
        "README.md",
        "v1-5.ckpt",
        "scheduler/scheduler_config.json",
        "tokenizer/vocab.json",
        "tokenizer/merges.txt",
        *(f"{c}/config.json" for c in ("unet", "vae", "text_encoder", "safety_checker")),
        *(f"{c}/{WEIGHTS}" for c in ("unet", "vae")),
        "unet/diffusion_pytorch_model.bin",
        "unet/diffusion_pytorch_model.non_ema.safetensors",
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "text_encoder/model.safetensors",
        "safety_checker/model.safetensors",
    ]
    assert wanted_files("x", names, PIPELINES["StableDiffusionPipeline"]) == sorted(
        [
            "model_index.json",
            "scheduler/scheduler_config.json",
            "tokenizer/vocab.json",
            "tokenizer/merges.txt",
            *(f"{c}/config.json" for c in ("unet", "vae", "text_encoder")),
            *(f"{c}/{WEIGHTS}" for c in ("unet", "vae")),
            "text_encoder/model.safetensors",
        ]
    )

"""Whole text-to-image runs: what they release, what they average, and the same bytes however they were run."""

import json
import signal
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DiffusionPipeline, StableDiffusionPipeline, StableDiffusionXLPipeline
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from tests.captioned import captioned, kept, put_base, tiny_base
from tests.runs import fingerprint, finish, start
from unecho.components.config import RunConfig
from unecho.components.diffusion.sampling import PREVIEW, image_noise
from unecho.components.report.figures import load_figures
from unecho.components.report.summary import summary
from unecho.components.run import EncodingRecord, ModelRecord, ProxyRecord, ReportRecord, Run, SamplesRecord
from unecho.components.run.base_model import BaseModel
from unecho.components.run.prompts import prompts_of
from unecho.components.run.tensors import load_state

RUNS = {
    "full": (),
    "freeze_a": ("lora.enabled=true", "lora.alpha=8", "train.learning_rate=0.01"),
    "svd": ("lora.enabled=true", "lora.average=svd", "lora.alpha=8", "train.learning_rate=0.01"),
    "sdxl": (
        f"model.pretrained={tiny_base('sdxl')}",
        "lora.enabled=true",
        "lora.average=svd",
        "train.learning_rate=0.03",
    ),
    "v": (
        f"model.pretrained={tiny_base('sd-v')}",
        "train.min_snr_gamma=5",
        "train.precision=bfloat16",
        "encode.precision=bfloat16",
        "train.noise_offset=0.1",
        "sample.sampler=base",
    ),
}
ADAPTERS = ("freeze_a", "svd", "sdxl")


@cache
def done(name: str) -> tuple[Run, RunConfig]:
    """A finished run; all are below one root."""
    run, config = Run.at(str(kept("text-to-image")), name.replace("_", "-")), captioned(*RUNS[name])
    finish(run, config)
    return run, config


def weights(run: Run, record: ModelRecord | ProxyRecord, of: str = "raw") -> dict[str, Tensor]:
    return load_state(run.store, record.objects[f"{of}.safetensors"])


def product(adapters: dict[str, Tensor], a: str) -> np.ndarray:
    b = adapters[a.replace(".lora_A.", ".lora_B.")]
    return b.double().numpy() @ adapters[a].double().numpy()


def released(run: Run) -> Path:
    folder = run.load(ReportRecord, 2).model_folder
    assert folder is not None
    return Path(run.store.path(folder))  # type: ignore[attr-defined]


def plain_unet(config: RunConfig, trained: dict[str, Tensor]) -> dict[str, Tensor]:
    """The UNet of a model by hand: the base's weights and the scaled products, or what was trained of it."""
    trained = {name: tensor for name, tensor in trained.items() if name != "class_embedding.weight"}
    if not config.lora.enabled:
        return trained
    assert config.model.pretrained is not None
    state = load_file(Path(config.model.pretrained) / "unet/diffusion_pytorch_model.safetensors")
    scale = (config.lora.alpha or config.lora.rank) / config.lora.rank
    for a in (name for name in trained if ".lora_A." in name):
        name = a.split(".lora_A.")[0] + ".weight"
        state[name] = (state[name].double() + torch.from_numpy(scale * product(trained, a))).float()
    return state


def pictures(pipeline: Any, config: RunConfig, prompts: list[str], steps: int, stream: str = "sample") -> np.ndarray:
    """Images 0, 1, ... by a user's own call of the pipeline, uint8 [n, H, W, 3]."""
    pipeline.set_progress_bar_config(disable=True)
    images = pipeline(
        prompts,
        generator=image_noise(config.seed, range(len(prompts)), stream),
        num_inference_steps=steps,
        guidance_scale=config.sample.guidance_scale,
        output_type="np",
    ).images
    return (images * 255).round().astype(np.uint8)


def preview(run: Run, record: ProxyRecord | SamplesRecord) -> np.ndarray:
    """Its images, uint8 [n, H, W, 3]."""
    strip = np.asarray(Image.open(BytesIO(run.store.get(record.objects["preview.png"].key))))
    return np.stack(np.split(strip, strip.shape[1] // strip.shape[0], axis=1))


def as_the_preview_samples(pipeline: Any, config: RunConfig) -> Any:
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config)
    return lambda prompts: pictures(pipeline, config, prompts, 25, PREVIEW)


@pytest.mark.parametrize("name", RUNS)
def test_the_released_folder_makes_the_reports_images_to_the_byte(name: str) -> None:
    run, config = done(name)
    pipeline = DiffusionPipeline.from_pretrained(released(run))
    assert type(pipeline) is (StableDiffusionXLPipeline if name == "sdxl" else StableDiffusionPipeline)
    part = run.load(SamplesRecord, 2, 0)
    asked = json.loads(run.store.get(part.objects["prompts.json"].key))
    images = load_state(run.store, part.objects["images.safetensors"])["images"]
    assert len(asked) == len(images) == 4, "a part of one batch"
    found = pictures(pipeline, config, [one["prompt"] for one in asked], config.sample.steps)
    np.testing.assert_array_equal(found.transpose(0, 3, 1, 2), images)
    dataset = run.dataset(config)
    assert all(one["prompt"] in dataset.captions(one["row"]) for one in asked)
    assert {one["row"] for one in asked} <= set(dataset.train_rows.tolist())


@pytest.mark.parametrize("name", ["sdxl", "v"])
def test_captions_are_measured_beside_the_base_and_stand_in_the_runs_own_copy_alone(name: str) -> None:
    run, config = done(name)
    report = run.load(ReportRecord, 2)
    prompts = load_figures(run, report).prompts
    assert prompts is not None
    assert (prompts.training, prompts.held_out, prompts.seeds) == (6, 6, 2)
    assert [one.name for one in prompts.measures] == [one.name for one in prompts.base]
    assert prompts.measures[0].training != prompts.base[0].training, "another model on the same noise"
    assert report.headline["prompt_magnitude_auc_base"] == prompts.base[0].auc.value  # type: ignore[union-attr]
    own, shared = (run.store.get(report.objects[page].key).decode() for page in ("report.html", "shared.html"))
    dataset = run.dataset(config)
    for worst in prompts.worst:
        assert worst.text in dataset.captions(worst.row)
        assert worst.text in own
        assert worst.text not in shared
        assert worst.text not in summary(run, report)
        assert sum(share for _, share in worst.tokens) == pytest.approx(1)


@pytest.mark.parametrize("name", RUNS)
def test_the_released_unet_is_the_bases_plus_what_was_trained(name: str) -> None:
    run, config = done(name)
    folder = released(run)
    expected = plain_unet(config, weights(run, run.load(ModelRecord, 2), "ema"))
    found = load_file(folder / "unet/diffusion_pytorch_model.safetensors")
    assert found.keys() == expected.keys()
    for key in expected:
        torch.testing.assert_close(found[key], expected[key], atol=1e-6, rtol=1e-5)
    pickles = [path for path in folder.rglob("*") if path.suffix in (".bin", ".pt", ".pth", ".ckpt", ".pkl")]
    assert not pickles
    notes = [path for path in folder.rglob("*.json") if "_name_or_path" in path.read_text()]
    assert not notes, "the folder of the base is nobody's business"


@pytest.mark.parametrize("name", ADAPTERS)
def test_the_adapters_by_themselves_on_the_base_make_the_same_images(name: str) -> None:
    run, config = done(name)
    prompts = ["zero and one", "two and three"]
    merged = DiffusionPipeline.from_pretrained(released(run))
    expected = pictures(merged, config, prompts, 2).astype(int)
    base = DiffusionPipeline.from_pretrained(config.model.pretrained)
    base.scheduler = merged.scheduler
    plain = pictures(base, config, prompts, 2)
    base.load_lora_weights(released(run) / "lora")
    found = pictures(base, config, prompts, 2)
    assert np.abs(found - expected).max() <= 1
    assert np.abs(plain - expected).max() > 5


@pytest.mark.parametrize("name", ["full", "svd"])
def test_previews_are_made_by_the_very_weights_that_a_round_starts_from(name: str) -> None:
    run, config = done(name)
    prompts = prompts_of(run, config)
    assert prompts is not None
    made = []
    for round in range(2):
        pipeline = StableDiffusionPipeline.from_pretrained(config.model.pretrained)
        model = weights(run, run.load(ModelRecord, round), "ema")
        pipeline.unet.load_state_dict(plain_unet(config, model))
        expected = as_the_preview_samples(pipeline, config)(prompts(range(2))).astype(int)
        made.append(preview(run, run.load(ProxyRecord, round, 0)))
        assert np.abs(made[-1] - expected).max() <= 1
    last = as_the_preview_samples(DiffusionPipeline.from_pretrained(released(run)), config)(prompts(range(2)))
    made.append(preview(run, run.load(SamplesRecord, 2, 0)))
    np.testing.assert_array_equal(made[-1], last)
    assert np.abs(made[0].astype(int) - made[2]).max() > 3, "model 0 is the base, model 2 is not"


@pytest.mark.parametrize("name", RUNS)
def test_the_row_of_no_augmentation_stays_zero_with_weight_decay_and_others_are_learned(name: str) -> None:
    run, config = done(name)
    assert config.train.weight_decay > 0
    figures = run.load(ModelRecord, 2).figures
    assert figures is not None
    assert figures.augmented > 10
    records = [run.load(ModelRecord, r) for r in range(1, 3)] + [run.load(ProxyRecord, 1, k) for k in range(2)]
    for record in records:
        for of in ("raw", "ema"):
            rows = weights(run, record, of)["class_embedding.weight"]
            assert rows.shape[0] == 11
            assert not rows[0].any()
            assert rows[1:].any(dim=1).sum() > 3


@pytest.mark.parametrize("name", RUNS)
def test_the_average_of_the_weights_is_neither_the_base_nor_the_raw_weights(name: str) -> None:
    run, _ = done(name)
    first, last = (run.load(ModelRecord, round) for round in (0, 2))
    begun, raw, ema = weights(run, first, "ema"), weights(run, last), weights(run, last, "ema")
    moved = [key for key in ema if not torch.equal(ema[key], begun[key])]
    frozen = {key for key in ema if ".lora_A." in key} if name == "freeze_a" else set()
    assert set(moved) == ema.keys() - frozen
    assert all(not torch.equal(ema[key], raw[key]) for key in moved)


def test_with_a_frozen_all_have_the_same_a_and_the_models_products_are_the_exact_mean() -> None:
    run, _ = done("freeze_a")
    for round in range(2):
        proxies = [run.load(ProxyRecord, round, k) for k in range(2)]
        model = run.load(ModelRecord, round + 1)
        assert model.average_error is None
        begun, total = weights(run, run.load(ModelRecord, 0)), sum(proxy.samples for proxy in proxies)
        for of in ("raw", "ema"):
            parts, mean = [weights(run, proxy, of) for proxy in proxies], weights(run, model, of)
            for a in (key for key in mean if ".lora_A." in key):
                assert all(torch.equal(one[a], begun[a]) for one in (*parts, mean))
                expected = sum(product(p, a) * r.samples / total for p, r in zip(parts, proxies, strict=True))
                np.testing.assert_allclose(product(mean, a), expected, atol=1e-7)
                assert np.abs(expected).max() > 1e-4


def test_with_svd_the_models_products_are_the_truncated_mean_and_its_error_is_recorded() -> None:
    run, config = done("svd")
    proxies, model = [run.load(ProxyRecord, 1, k) for k in range(2)], run.load(ModelRecord, 2)
    errors, total = [], sum(proxy.samples for proxy in proxies)
    for of in ("raw", "ema"):
        parts, mean, cut, whole = [weights(run, p, of) for p in proxies], weights(run, model, of), 0.0, 0.0
        for a in (key for key in mean if ".lora_A." in key):
            dense = sum(product(p, a) * r.samples / total for p, r in zip(parts, proxies, strict=True))
            u, s, v = np.linalg.svd(dense)
            rank = config.lora.rank
            np.testing.assert_allclose(product(mean, a), (u[:, :rank] * s[:rank]) @ v[:rank], atol=1e-6)
            cut, whole = cut + (s[rank:] ** 2).sum(), whole + (s**2).sum()
        errors.append((cut / whole) ** 0.5)
    assert model.average_error == pytest.approx(max(errors), rel=1e-4)
    assert 0 < max(errors) < 0.5


@pytest.mark.parametrize("settings", [(), ("lora.enabled=true", "lora.average=svd")])
def test_the_average_of_one_proxy_is_its_bytes(settings: tuple[str, ...], tmp_path: Path) -> None:
    run = Run.at(str(tmp_path), "a")
    finish(run, captioned("iet.shards=1", "iet.local_epochs=1", "msr.enabled=false", *settings))
    for round in range(2):
        model, proxy = run.load(ModelRecord, round + 1), run.load(ProxyRecord, round, 0)
        assert not model.average_error
        for of in ("raw", "ema"):
            assert model.objects[f"{of}.safetensors"].sha256 == proxy.objects[f"{of}.safetensors"].sha256


def images(run: Run, config: RunConfig) -> Tensor:
    parts = [run.load(SamplesRecord, 2, part) for part in range(config.sample.parts)]
    return torch.cat([load_state(run.store, part.objects["images.safetensors"])["images"] for part in parts])


@pytest.mark.parametrize(
    "settings",
    [
        ("execution.hold_images=stream",),
        ("encode.parts=3", "sample.parts=3"),
        ("execution.gradient_checkpointing=true", "sample.parts=1"),
    ],
    ids=" ".join,
)
def test_weights_and_images_are_the_same_however_the_work_was_done(settings: tuple[str, ...], tmp_path: Path) -> None:
    expected, of = done("full")
    run, config = Run.at(str(tmp_path), "full"), captioned(*RUNS["full"], *settings)
    finish(run, config)
    for round in range(3):
        found = {name: ref.sha256 for name, ref in run.load(ModelRecord, round).objects.items()}
        assert found == {name: ref.sha256 for name, ref in expected.load(ModelRecord, round).objects.items()}
    assert torch.equal(images(run, config), images(expected, of))


def test_on_s3_with_the_base_on_s3_a_run_gives_the_bytes_of_one_on_a_directory(s3_root: str, tmp_path: Path) -> None:
    run = Run.at(s3_root, "svd")
    settings = (f"model.pretrained={put_base(s3_root)}", f"execution.cache_dir={tmp_path / 'cache'}")
    finish(run, captioned(*RUNS["svd"], *settings))
    assert fingerprint(run) == fingerprint(done("svd")[0])


POINTS = {
    "in encode, between the captions' block and the images'": ("create", "latents/0.json", 1, False),
    "in train, with checkpoints behind it": ("put", "checkpoints/1/0", 2, True),
    "in aggregate": ("put", "models/2/", 2, False),
    "in evaluate": ("put", "release/", 3, True),
}


@pytest.mark.parametrize("point", POINTS)
def test_a_run_of_adapters_killed_by_sigkill_ends_with_the_same_bytes(
    point: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = captioned(*RUNS["svd"], "execution.checkpoint_every_s=1e-9")
    killed = start(tmp_path, "svd", config, POINTS[point])
    killed.join()
    assert killed.exitcode == -signal.SIGKILL, "the run ended before the point was reached"
    blocks = {path: path.stat().st_mtime_ns for path in tmp_path.glob("encodings/**/*") if path.is_file()}
    assert blocks
    run = Run.at(str(tmp_path), "svd")
    finish(run, config)
    assert fingerprint(run) == fingerprint(done("svd")[0])
    assert all(path.stat().st_mtime_ns == time for path, time in blocks.items() if path.suffix == ".json")
    assert not list(run.store.list(f"{run.prefix}/checkpoints/"))


def test_runs_of_both_precisions_below_one_root_read_their_own_encodings() -> None:
    (whole, _), (half, _) = done("full"), done("v")
    records = [run.load(EncodingRecord, 0) for run in (whole, half)]
    assert [record.latents[0].dtype for record in records] == ["float32", "bfloat16"]
    assert records[0].latents_key != records[1].latents_key
    assert records[0].texts_key != records[1].texts_key
    for round in range(1, 3):
        figures = half.load(ModelRecord, round).figures
        assert figures is not None
        assert 0.1 < figures.loss < 3


def test_a_step_does_not_read_what_the_store_has_of_the_base_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """A base of gigabytes is hashed once a step, not once a component."""
    run, config = done("full")
    hashed: list[str] = []
    check = BaseModel._check

    def counted(base: BaseModel, path: str, now: str) -> None:
        hashed.append(path)
        check(base, path, now)

    monkeypatch.setattr(BaseModel, "_check", counted)
    pretrained = BaseModel(config, run.plan().base)
    for components in (("unet",), ("unet", "vae"), ("vae", "text_encoder"), ("unet",)):
        pretrained.folder(*components)
    large = [path for path in hashed if path.endswith(".safetensors")]
    assert len(large) == len(set(large)) == 3

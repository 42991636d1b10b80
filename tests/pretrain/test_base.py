"""`unecho base`: a pipeline's folder that loads, is the same after a kill, and is no pipeline before it is whole."""

import multiprocessing
import os
import signal
import sys
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image

from tests.runs import Killer, Strike
from unecho.components.config.resolve import check_as, merge
from unecho.components.data import Dataset
from unecho.components.data.prepare import packed
from unecho.components.diffusion.pretraining.config import BASE_DATA, SIZES, BaseModelConfig
from unecho.components.failure import INTERRUPTED, TERMINATED, Fatal, status_of
from unecho.components.pretrain.base import distinct, train_base
from unecho.components.progress import Silent
from unecho.components.store import Store, open_store
from unecho.pipelines.commands import main

_FORKSERVER = multiprocessing.get_context("forkserver")
_FORKSERVER.set_forkserver_preload(["unecho.components.pretrain.base"])
IMAGES = 30


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty images with captions."""
    folder = tmp_path_factory.mktemp("source")
    draw = np.random.default_rng(0)
    for number in range(IMAGES):
        Image.fromarray(draw.integers(0, 256, (16, 16, 3), np.uint8)).save(folder / f"{number:02}.png")
        (folder / f"{number:02}.txt").write_text(f"{('red', 'blue')[number % 2]} noise, no. {number}")
    return folder


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("root")


def config_of(source: Path) -> BaseModelConfig:
    """The tiny size; the checkpoint clock ticks after every step, so that a killed stage goes on from its middle."""
    tree = merge(merge({"data": BASE_DATA}, SIZES["tiny"]), {"data": {"source": str(source)}})
    return check_as(BaseModelConfig, tree | {"checkpoint_every_s": 1e-9})


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def finish(root: Path, target: Store, config: BaseModelConfig) -> None:
    """Train to the end, here."""
    store = open_store(str(root))
    train_base(target, Dataset.open(store, packed(store, config.data, 1, Silent())[0].digest), config, Silent())


def _child(root: Path, target: Path, config: BaseModelConfig, strike: Strike) -> None:
    sys.exit(status_of(lambda: finish(root, Killer(target, *strike), config)))


def struck(root: Path, target: Path, config: BaseModelConfig, strike: Strike) -> ForkServerProcess:
    """Train in a process of its own, which is sent a signal at one of its writes."""
    process = _FORKSERVER.Process(target=_child, args=(root, target, config, strike))
    process.start()
    process.join()
    return process


@pytest.fixture(scope="module")
def made(source: Path, root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base that nothing has disturbed, made by the command."""
    target = tmp_path_factory.mktemp("bases") / "made"
    options = ["--data", str(source), "--to", str(target), "--root", str(root), "--size", "tiny"]
    assert main(["base", *options]) == 0
    return target


def test_the_folder_is_a_plain_pipeline_that_samples_by_a_caption(made: Path) -> None:
    pipeline = StableDiffusionPipeline.from_pretrained(made)
    images = pipeline(
        ["red noise", "blue noise"],
        num_inference_steps=2,
        guidance_scale=3.0,
        generator=[torch.Generator().manual_seed(n) for n in range(2)],
        output_type="np",
    ).images
    assert images.shape == (2, 16, 16, 3)
    assert np.isfinite(images).all()
    assert pipeline.safety_checker is None
    assert pipeline.scheduler.config.prediction_type == "epsilon"
    assert (pipeline.scheduler.config.beta_start, pipeline.scheduler.config.beta_end) == (0.00085, 0.012)
    assert pipeline.tokenizer.model_max_length == pipeline.text_encoder.config.max_position_embeddings == 8


def test_the_folder_holds_safetensors_and_text_and_no_path_of_this_machine(made: Path, source: Path) -> None:
    assert {path.suffix for path in made.rglob("*") if path.is_file()} == {".json", ".safetensors", ".txt"}
    for name, data in files(made).items():
        assert b"/tmp" not in data, name
        assert str(source).encode() not in data, name
    assert {path.name for path in made.iterdir()} == {
        "model_index.json",
        "unecho-base.json",
        "scheduler",
        "text_encoder",
        "tokenizer",
        "unet",
        "vae",
    }


def test_latents_are_scaled_to_a_deviation_of_one(made: Path, source: Path) -> None:
    vae = StableDiffusionPipeline.from_pretrained(made).vae
    rows = np.stack([np.asarray(Image.open(path)) for path in sorted(source.glob("*.png"))])
    x = torch.from_numpy(rows).permute(0, 3, 1, 2).float() / 127.5 - 1
    torch.manual_seed(0)
    with torch.inference_mode():
        drawn = torch.cat([vae.encode(x).latent_dist.sample() for _ in range(20)])
    assert float(drawn.std()) * vae.config.scaling_factor == pytest.approx(1, abs=0.03)  # held-out images are in it


POINTS: dict[str, Strike] = {
    "in the autoencoder's training": ("put", "checkpoints/autoencoder/", 2, True),
    "after the autoencoder, before it is committed": ("create", "unecho-progress/autoencoder.json", 1, False),
    "in the denoiser's training": ("put", "checkpoints/denoiser/", 2, True),
    "while the folder is written": ("put", "unet/config.json", 1, True),
    "before the index": ("put", "model_index.json", 1, False),
    "while progress is removed": ("delete", "unecho-progress/autoencoder/", 1, True),
}


@pytest.mark.parametrize("point", POINTS)
def test_a_base_killed_by_sigkill_ends_with_the_same_bytes(
    point: str, source: Path, root: Path, made: Path, tmp_path: Path
) -> None:
    target, config = tmp_path / "base", config_of(source)
    assert struck(root, target, config, POINTS[point]).exitcode == -signal.SIGKILL
    whole = (target / "model_index.json").exists()
    assert whole == (point == "while progress is removed")
    finish(root, open_store(str(target)), config)
    assert files(target) == files(made)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, TERMINATED), (signal.SIGINT, INTERRUPTED)])
def test_a_signal_is_answered_by_a_checkpoint_and_an_exit_status(
    number: signal.Signals, status: int, source: Path, root: Path, made: Path, tmp_path: Path
) -> None:
    target, config = tmp_path / "base", config_of(source)
    asked = struck(root, target, config, ("put", "checkpoints/denoiser/", 2, True, number))
    assert asked.exitcode == status
    assert list((target / "unecho-progress/checkpoints/denoiser").rglob("checkpoint.json"))
    finish(root, open_store(str(target)), config)
    assert files(target) == files(made)


def test_below_a_buckets_prefix_a_base_has_the_same_bytes(
    source: Path, root: Path, made: Path, s3_root: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--data", str(source), "--to", f"{s3_root}/bases/b", "--root", str(root), "--size", "tiny"]
    assert main(["base", *options]) == 0
    assert f"a StableDiffusionPipeline: {s3_root}/bases/b" in capsys.readouterr().out
    bucket = open_store(f"{s3_root}/bases/b")
    assert {stat.key: bucket.get(stat.key) for stat in bucket.list("")} == files(made)


def test_a_base_that_is_there_is_left_as_it_is(
    made: Path, source: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in made.rglob("*")}
    options = ["--data", str(source), "--to", str(made), "--root", str(root), "--size", "tiny"]
    assert main(["base", *options]) == 0
    assert {path: path.stat().st_mtime_ns for path in made.rglob("*")} == before
    assert "a StableDiffusionPipeline: file://" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "differs"), [("denoiser.steps=7", "denoiser.steps"), ("data.held_out=0.5", "the data set")]
)
def test_another_base_is_refused(
    given: str, differs: str, made: Path, source: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files(made)
    options = ["--data", str(source), "--to", str(made), "--root", str(root), "--size", "tiny", "--set", given]
    assert main(["base", *options]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"unecho: --to: file://{made}: another base is there, and {differs} differs: choose another, or remove it"
    )
    assert files(made) == before


def test_a_folder_of_something_else_is_refused(
    source: Path, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "model_index.json").write_text("{}")
    options = ["--data", str(source), "--to", str(tmp_path), "--root", str(root), "--size", "tiny"]
    assert main(["base", *options]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"unecho: --to: file://{tmp_path}: not empty (model_index.json), and what is there is no base of Unecho's: "
        "choose another"
    )
    assert set(files(tmp_path)) == {"model_index.json"}


def test_images_without_a_caption_are_refused_in_one_line(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for path in source.glob("*.png"):
        (images / path.name).write_bytes(path.read_bytes())
    options = [
        "--data",
        str(images),
        "--to",
        str(tmp_path / "base"),
        "--root",
        str(tmp_path / "root"),
        "--size",
        "tiny",
    ]
    assert main(["base", *options]) == 2
    assert (
        capsys.readouterr()
        .err.splitlines()[-1]
        .startswith("unecho: --data: none of the 24 training images has a caption: a text-to-image model needs them")
    )
    assert not (tmp_path / "base").exists()


def test_a_stage_that_was_altered_is_named(source: Path, root: Path, tmp_path: Path) -> None:
    target, config = tmp_path / "base", config_of(source)
    strike: Strike = ("create", "unecho-progress/denoiser.json", 1, False)
    assert struck(root, target, config, strike).exitcode == -signal.SIGKILL
    (weights,) = (target / "unecho-progress/autoencoder").rglob("weights.safetensors")
    weights.write_bytes(b"\0" * weights.stat().st_size)
    with pytest.raises(Fatal, match=r"unecho-progress/autoencoder/.*weights\.safetensors: altered"):
        finish(root, open_store(str(target)), config)


def test_an_image_that_is_there_twice_is_trained_on_once_with_the_caption_that_one_of_them_has(
    source: Path, tmp_path: Path
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for name, of in (("a", "00"), ("b", "00"), ("c", "01"), ("d", "02"), ("e", "02")):
        (images / f"{name}.png").write_bytes((source / f"{of}.png").read_bytes())
    for name, caption in (("b", "second"), ("c", "third"), ("d", "fourth"), ("e", "fifth")):
        (images / f"{name}.txt").write_text(caption)
    store = open_store(str(tmp_path / "root"))
    data = config_of(images).data.model_copy(update={"held_out": 0.0})
    dataset = Dataset.open(store, packed(store, data, 1, Silent())[0].digest)
    found = distinct(dataset, held_out=False)
    assert found.captions == ["second", "third", "fourth"]
    assert found.images.shape == (3, 3, 16, 16)
    assert found.images[1].tolist() == dataset.rows([2])[0].tolist()


def test_a_preview_needs_a_held_out_image_with_a_caption(
    source: Path, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--data", str(source), "--to", str(tmp_path / "base"), "--root", str(root), "--size", "tiny"]
    assert main(["base", *options, "--set", "data.held_out=0", "--preview", str(tmp_path / "p.png")]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "unecho: --preview: no held-out image has a caption: there is nothing to show"
    )
    assert (tmp_path / "base" / "model_index.json").is_file()


def test_a_preview_shows_held_out_images_and_what_becomes_of_them(
    made: Path, source: Path, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--data", str(source), "--to", str(made), "--root", str(root), "--size", "tiny"]
    assert main(["base", *options, "--preview", str(tmp_path / "p.png")]) == 0
    sheet = np.asarray(Image.open(tmp_path / "p.png"))
    assert sheet.shape == (3 * 3 * 16, 6 * 3 * 16, 3)  # three rows of the six held-out images, three times as large
    first = sheet[:48:3, :48:3]
    assert any((np.asarray(Image.open(path)) == first).all() for path in source.glob("*.png"))
    assert capsys.readouterr().out.count("noise, no. ") == 6
    assert main(["base", *options, "--preview", os.fspath(tmp_path)]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == f"unecho: --preview: {tmp_path}: Is a directory"

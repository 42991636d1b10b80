"""ls, pull and gc: what a user needs no second tool for."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from diffusers import DDIMPipeline, DDPMPipeline
from huggingface_hub import ModelCard
from PIL import Image

from tests.runs import finish, tiny
from unecho.components.diffusion import trainable_family_of
from unecho.components.diffusion.sampling import generate
from unecho.components.plan.step import plan
from unecho.components.run import ProxyRecord, ReportRecord, Run, SamplesRecord
from unecho.components.run.tensors import load_state
from unecho.components.steps import run_step
from unecho.pipelines.commands import main

Said = Callable[..., tuple[int, str, str]]


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Said:
    """Calls a command at 80 columns: exit status, output, errors."""
    monkeypatch.setenv("COLUMNS", "80")

    def call(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main([str(word) for word in words])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = Run.at(str(tmp_path_factory.mktemp("root")), "done")
    finish(run, tiny())
    plan(Run(run.store, "planned"), tiny())
    half = Run(run.store, "half")
    plan(half, tiny())
    for name in ("prepare", "initialize", "shard"):
        run_step(name, half)
    run_step("begin", half, 0)
    return run


def test_ls_of_a_root_shows_its_runs_with_state_and_figures_and_its_data_sets(done: Run, said: Said) -> None:
    status, out, _ = said("ls", done.store.url)
    assert status == 0
    lines = {line.split()[0]: line for line in out.splitlines() if line.strip()}
    assert "done" in lines["done"].split("done", 1)[1]
    assert "planned" in lines["planned"].split("planned", 1)[1]
    assert "0 of 3 rounds done" in lines["half"]
    assert "frechet" in lines["done"]
    assert "frechet" not in lines["half"]
    assert " 96 " in out
    assert "1x8x8" in out
    assert max(map(len, out.splitlines()[1:])) <= 80


def test_ls_of_a_run_shows_every_record_and_object_and_what_is_retired(done: Run, said: Said) -> None:
    status, out, _ = said("ls", done.url)
    assert status == 0
    for wanted in ("models/3.json", "proxies/2/1.json", "reports/3.json", "model/model_index.json", "report.html"):
        assert wanted in out
    retired = [line for line in out.splitlines() if line.endswith("(retired)")]
    assert len(retired) == 2 + 2 * 4  # model 0, and two proxies of round 0


def test_ls_of_nothing_is_one_line(tmp_path: Path, said: Said) -> None:
    status, _, err = said("ls", tmp_path)
    assert status == 2
    assert err == f"unecho: file://{tmp_path}: no runs and no data sets there: check the address\n"


def test_pull_writes_a_model_that_diffusers_loads_and_the_report(done: Run, said: Said, tmp_path: Path) -> None:
    status, out, _ = said("pull", done.url, tmp_path / "out")
    assert status == 0
    config = done.config()
    pipeline = DDIMPipeline.from_pretrained(tmp_path / "out/model")
    family = trainable_family_of(config, None)
    again = generate(family, pipeline, None, config.seed, 0, 16, config.sample.batch_size, config.sample.steps)
    measured = load_state(done.store, done.load(SamplesRecord, 3, 0).objects["images.safetensors"])["images"]
    assert np.array_equal(again, measured), "what is released generates the images that the report is about"
    assert (tmp_path / "out/report.html").read_text().startswith("<!doctype html>")
    assert f'DDIMPipeline.from_pretrained("{tmp_path}/out/model")' in out, "as its images were sampled"
    assert not (tmp_path / "out/shared.html").exists()
    assert said("pull", done.url, tmp_path / "out")[0] == 0, "a second time there is nothing to do"
    assert said("pull", done.url, tmp_path / "page", "--what", "shared")[0] == 0
    assert [path.name for path in (tmp_path / "page").iterdir()] == ["shared.html"]


def test_the_card_that_pull_brings_has_the_lines_that_sample_from_its_folder(
    done: Run, said: Said, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert said("pull", done.url, tmp_path, "--what", "model")[0] == 0
    card = ModelCard.load(tmp_path / "model/README.md")
    assert card.data.library_name == "diffusers"
    (lines,) = re.findall(r"```python\n(.*?)```", card.text, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(lines, {})
    assert Image.open("sample.png").size == (8, 8)


def test_pull_does_not_overwrite_a_file_that_differs_unless_told_to(done: Run, said: Said, tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text("mine")
    status, _, err = said("pull", done.url, tmp_path)
    assert status == 2
    assert err.startswith(f"unecho: {tmp_path}/report.json: a different file is there")
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"], "nothing else was written"
    assert (tmp_path / "report.json").read_text() == "mine"
    assert said("pull", done.url, tmp_path, "--force")[0] == 0
    assert (tmp_path / "report.json").read_text() != "mine"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("half", "not finished (0 of 3 rounds done"),
        ("planned", "not finished (planned, 3 rounds)"),
        ("none", "no such run"),
    ],
)
def test_pull_of_a_run_that_is_not_finished_is_one_line(
    name: str, says: str, done: Run, said: Said, tmp_path: Path
) -> None:
    status, _, err = said("pull", f"{done.store.url}/runs/{name}", tmp_path / "out")
    assert status == 2
    assert says in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_pull_of_an_altered_object_names_it_and_leaves_no_half_file(done: Run, said: Said, tmp_path: Path) -> None:
    key = done.load(ReportRecord, 3).objects["model/unet/diffusion_pytorch_model.safetensors"].key
    good = done.store.get(key)
    done.store.put(key, good[:-1] + bytes([good[-1] ^ 1]))
    try:
        status, _, err = said("pull", done.url, tmp_path)
    finally:
        done.store.put(key, good)
    assert status == 2
    assert f"{key}: altered" in err
    assert not [path for path in tmp_path.rglob("*") if "diffusion_pytorch_model" in path.name]


def test_gc_lists_left_overs_and_removes_them_only_when_asked(done: Run, said: Said) -> None:
    key = done.put(ProxyRecord, (0, 0), "raw.safetensors", b"of a zombie").key
    status, out, _ = said("gc", done.store.url)
    assert status == 0
    assert "nothing is left over" in out
    assert "spared: 1 object more" in out
    _, out, _ = said("gc", done.store.url, "--older-than", "0s")
    assert f"11 bytes  {key}" in out
    assert "nothing was removed" in out
    _, out, _ = said("gc", done.store.url, "--older-than", "0s", "--delete")
    assert "removed 1 object, 11 bytes" in out
    assert done.store.stat(key) is None
    assert "nothing is left over" in said("gc", done.store.url, "--older-than", "0s")[1]


def test_gc_of_nothing_is_one_line(tmp_path: Path, said: Said) -> None:
    status, _, err = said("gc", tmp_path, "--delete", "--older-than", "0s")
    assert status == 2
    assert err == f"unecho: file://{tmp_path}: no runs and no data sets there: check the address\n"


def test_all_three_work_on_s3(s3_root: str, said: Said, tmp_path: Path) -> None:
    run = Run.at(s3_root, "a")
    finish(run, tiny())
    key = run.put(ProxyRecord, (0, 0), "raw.safetensors", b"of a zombie").key
    assert "frechet" in said("ls", s3_root)[1]
    assert "models/3.json" in said("ls", run.url)[1]
    assert said("pull", run.url, tmp_path)[0] == 0
    assert DDPMPipeline.from_pretrained(tmp_path / "model").unet.config.in_channels == 1
    assert "removed 1 object" in said("gc", s3_root, "--older-than", "0s", "--delete")[1]
    assert run.store.stat(key) is None
    assert said("pull", run.url, tmp_path)[0] == 0

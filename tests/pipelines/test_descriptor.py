"""unecho descriptor: a file that a run takes, and what it finds, said in 80 columns and as JSON."""

import hashlib
import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unecho.components.config import resolve
from unecho.components.measures.planting import KINDS
from unecho.pipelines.commands import main


def descriptor(root: Path, *words: str) -> int:
    return main(["descriptor", "--root", str(root / "runs"), "--out", str(root / "d.onnx"), "--steps", "2", *words])


def test_it_writes_a_file_and_says_what_it_finds_and_which_fields_take_it(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert descriptor(tmp_path, "--preset", "tiny", "--json") == 0
    said = capfd.readouterr()
    answer = json.loads(said.out)
    assert answer["digest"] == hashlib.sha256((tmp_path / "d.onnx").read_bytes()).hexdigest()
    assert [kind["kind"] for kind in answer["kinds"]] == list(KINDS)
    plain = answer["kinds"][0]
    assert plain["mq"]["auc"] == 1
    assert plain["descriptor"]["auc"] > 0.9  # two steps teach little, and an equal image is found by any map
    lines = said.err.splitlines()
    table = next(place for place, line in enumerate(lines) if line.startswith("copies"))
    assert all(len(line) <= 80 for line in lines[table : table + 1 + len(KINDS)])
    assert [line.split()[0] for line in lines[table + 1 : table + 1 + len(KINDS)]] == list(KINDS)
    words = shlex.split(next(line for line in lines if line.startswith("unecho run")))
    assert words[:4] == ["unecho", "run", "--preset", "tiny"]
    config = resolve("tiny", settings=tuple(words[5::2]))
    assert config.evaluate.descriptor == str(tmp_path / "d.onnx")
    assert config.evaluate.descriptor_transform == "numbers"
    assert config.evaluate.descriptor_threshold == answer["thresholds"][0]["value"]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--steps", "0"], "--steps: 0: at least 1"),
        (["--out", "."], "--out: .: is a directory: give a file's path"),
        (["--out", "nowhere/d.onnx"], "--out: nowhere/d.onnx: no such directory: nowhere"),
        (["--set", "data.source=nowhere"], "nowhere"),
    ],
)
def test_a_mistake_is_one_line_before_anything_is_trained(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], words: list[str], line: str
) -> None:
    assert descriptor(tmp_path, "--preset", "tiny", *words) == 2
    said = capfd.readouterr().err.splitlines()
    assert line in said[-1]
    assert not any("steps" in one for one in said[:-1])
    assert not (tmp_path / "d.onnx").exists()


def test_too_few_held_out_images_are_one_line_before_anything_is_trained(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    draw, images = np.random.default_rng(0), tmp_path / "images"
    images.mkdir()
    for number in range(30):
        pixels = draw.integers(0, 256, (16, 16, 3), np.uint8)
        Image.fromarray(pixels).save(images / f"{number}.png")
    settings = [f"data.source={images}", "data.layout=images", "data.resolution=16", "data.held_out=0.2"]
    assert descriptor(tmp_path, *(word for one in settings for word in ("--set", one))) == 2
    said = capfd.readouterr().err.splitlines()
    assert "data.held_out: 6 held-out images: at least 20" in said[-1]
    assert not any("steps" in one for one in said)

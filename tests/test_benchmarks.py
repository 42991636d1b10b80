"""The benchmarks can be called: they use rooms of the components that change. What they measure is no test."""

import json
from importlib import import_module
from pathlib import Path

import pytest
import torch

from tests.benchmarks import audit, descriptor, gpu, search_scale
from tests.benchmarks.__main__ import NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_benchmark_can_be_called(name: str):
    module = import_module(f"tests.benchmarks.{name}")
    assert callable(module.benchmark)
    assert module.__doc__, "says what is compared"


def test_the_audit_s_is_run_with_few_images(capsys: pytest.CaptureFixture[str]):
    """It goes through plan, packing and search: what it calls has to fit together."""
    audit.benchmark(generated=120, training=300, held_out=60)
    said = capsys.readouterr().out
    assert "beside the 1 MiB of the images" in said
    assert "the 27.0 products of 18 ways and the floor" in said  # each of 180 images for 120; 9 shifts, mirrored or not


def test_the_descriptor_s_is_run_with_few_vectors(capsys: pytest.CaptureFixture[str]):
    descriptor.benchmark(queries=300, training=5000, dimensions=8)
    said = capsys.readouterr().out
    assert "300 in 5,000 of 8 numbers" in said
    assert "x by cpu" in said


def test_the_gpu_s_are_left_out_in_one_line_where_there_is_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    gpu.benchmark()
    assert capsys.readouterr().out == "  no CUDA device: left out\n"


def test_the_gpu_s_search_is_a_row_of_the_table():
    row = str(gpu.search(torch.device("cpu"), generated=8, training=60))
    assert row.startswith("| evaluate's search, 8 generated in 60 training images")
    assert row.count("|") == 5


def test_seconds_of_steps_are_added_up_from_a_run_s_records(tmp_path: Path):
    for name, seconds in {"proxies/0/0.json": 2.0, "proxies/0/1.json": 3.5, "samples/1/0.json": 4.0}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(json.dumps({"ran_with": {"seconds": seconds}}))
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports/1-report.json").write_text(json.dumps({"headline": {}}))
    assert gpu.seconds_of(tmp_path) == {"train": 5.5, "sample": 4.0}


def test_the_search_among_very_many_images_is_run_with_few(capsys: pytest.CaptureFixture[str]):
    search_scale.benchmark(((8, 300, 1, 8),))
    said = capsys.readouterr().out
    assert "8 in 300 of 1x8x8" in said
    assert "by candidates" in said

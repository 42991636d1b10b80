"""The benchmarks can be called: they use rooms of the components that change. What they measure is no test."""

from importlib import import_module

import pytest

from tests.benchmarks import audit, descriptor
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

"""The benchmarks can be called: they use rooms of the components that change. What they measure is no test."""

from importlib import import_module

import pytest

from tests.benchmarks.__main__ import NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_benchmark_can_be_called(name: str):
    module = import_module(f"tests.benchmarks.{name}")
    assert callable(module.benchmark)
    assert module.__doc__, "says what is compared"

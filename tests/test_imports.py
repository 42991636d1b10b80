"""A pod loads what its step needs, and no room of the components knows the pipelines."""

import subprocess
import sys

import pytest

from components.steps import STEPS


@pytest.mark.parametrize("step", STEPS)
def test_a_step_loads_nothing_of_the_pipelines_and_no_network_library_unless_it_has_a_network(step: str) -> None:
    code = f"import sys, components.{step}.step; print(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "components" in loaded
    assert "pipelines" not in loaded
    if step not in ("initialize", "train", "sample", "evaluate"):
        assert "diffusers" not in loaded
    if step in ("plan", "prepare", "begin"):
        assert "torch" not in loaded

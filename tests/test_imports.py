"""A pod loads what its step needs, and no room of the components knows the pipelines."""

import subprocess
import sys
from pathlib import Path

import pytest

from unecho.components.steps import STEPS


@pytest.mark.parametrize("step", STEPS)
def test_a_step_loads_nothing_of_the_pipelines_and_no_network_library_unless_it_has_a_network(step: str) -> None:
    code = f"import sys, unecho.components.{step}.step; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert f"unecho.components.{step}.step" in loaded
    assert not [name for name in loaded if name.startswith("unecho.pipelines")]
    if step not in ("encode", "initialize", "train", "sample", "evaluate"):
        assert "diffusers" not in loaded
    if step in ("plan", "pack", "prepare", "begin"):
        assert "torch" not in loaded


def test_a_run_without_trackers_loads_nothing_of_them(tmp_path: Path) -> None:
    code = (
        "import os, sys; os.environ.pop('MLFLOW_TRACKING_URI', None)\n"
        "from tests.runs import Run, finish, tiny\n"
        f"finish(Run.at({str(tmp_path)!r}, 'a'), tiny('iet.rounds=1')); print(*sorted(sys.modules))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "unecho.components.evaluate.step" in loaded
    assert not [name for name in loaded if name.startswith(("tensorboard", "mlflow", "google.protobuf"))]

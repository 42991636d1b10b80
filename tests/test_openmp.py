"""Waiting threads sleep: on shared cores, threads that spin take the time of those that compute."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from unecho.components.openmp import let_waiting_threads_sleep

CHOICES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


def when_torch_is_loaded(tmp_path: Path, words: str, **environment: str) -> str:
    """OMP_WAIT_POLICY as the program's first import of torch finds it: another torch stands in its way and says it."""
    (tmp_path / "torch.py").write_text("import os\nprint(os.environ.get('OMP_WAIT_POLICY'))\nos._exit(0)\n")
    clean = {name: value for name, value in os.environ.items() if name not in CHOICES}
    path = os.pathsep.join([str(tmp_path), str(Path(__file__).parent.parent)])
    command = [sys.executable, "-P", "-m", *words.split()]
    environment = clean | {"PYTHONPATH": path} | environment
    ended = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True)
    return ended.stdout.strip()


@pytest.mark.parametrize(
    "words",
    [
        "unecho plan --preset tiny",
        "unecho step shard --run here/runs/x",
        "unecho.components train --run here/runs/x --round 0 --index 0",
        "unecho classifier digits features.onnx",
    ],
)
def test_waiting_threads_sleep_before_torch_is_loaded(tmp_path: Path, words: str) -> None:
    assert when_torch_is_loaded(tmp_path, words) == "PASSIVE"


def test_what_the_user_chose_stands(tmp_path: Path) -> None:
    assert when_torch_is_loaded(tmp_path, "unecho plan --preset tiny", OMP_WAIT_POLICY="ACTIVE") == "ACTIVE"
    for choice in CHOICES:
        environment = {choice: "7"}
        let_waiting_threads_sleep(environment)
        assert environment == {choice: "7"}

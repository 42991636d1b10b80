"""On one card, with `deterministic: true`: a run killed at any instant ends with the bytes of one never killed."""

import signal
from pathlib import Path

import pytest
import torch

from tests.runs import fingerprint, start, tiny
from unecho.components.run import Run

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device: same bytes on a card not shown")

SETTINGS = ("execution.device=cuda", "execution.checkpoint_every_s=1e-9")
POINTS = {
    "in train, with checkpoints behind it": ("put", "checkpoints/1/0", 2, True),
    "in sample": ("create", "samples/3/1.json", 1, False),
}


@pytest.mark.parametrize("settings", [("train.precision=float32", "compile=false"), ("compile=true",)])
@pytest.mark.parametrize("point", POINTS)
def test_a_run_killed_on_cuda_ends_with_the_same_bytes(point: str, settings: tuple[str, ...], tmp_path: Path) -> None:
    """In float32 as torch has it, and in what `precision: auto` takes on the card, compiled."""
    config = tiny(*SETTINGS, *settings)
    assert config.deterministic
    whole, killed = start(tmp_path / "whole", "a", config), start(tmp_path / "killed", "a", config, POINTS[point])
    whole.join()
    killed.join()
    assert (whole.exitcode, killed.exitcode) == (0, -signal.SIGKILL)
    again = start(tmp_path / "killed", "a", config)
    again.join()
    assert again.exitcode == 0
    assert fingerprint(Run.at(str(tmp_path / "killed"), "a")) == fingerprint(Run.at(str(tmp_path / "whole"), "a"))

"""A run killed at any instant ends, when it is started again, with the bytes of one never killed."""

import signal
from pathlib import Path

import pytest

from tests.runs import fingerprint, start, tiny
from unecho.components.failure import INTERRUPTED, TERMINATED
from unecho.components.run import ProxyRecord, Run

# The checkpoint clock ticks after every step, so that a killed proxy goes on from its middle.
CONFIG = tiny("execution.checkpoint_every_s=1e-9")

POINTS = {
    "in prepare, before the manifest": ("create", "datasets/", 1, False),
    "in train, with checkpoints behind it": ("put", "checkpoints/1/0", 2, True),
    "in train, between a checkpoint's object and its manifest": ("put", "checkpoint.json", 3, False),
    "in train, between objects and manifest": ("create", "proxies/1/1.json", 1, False),
    "in train, after its manifest, before its checkpoints are gone": ("create", "proxies/0/0.json", 1, True),
    "in aggregate": ("put", "models/2/", 2, False),
    "in redistribute": ("create", "assignments/2.json", 1, False),
    "in begin's retirement, at the first object": ("delete", "models/0/", 1, True),
    "in begin's retirement, in the middle": ("delete", "proxies/0/1/", 2, False),
    "in sample, with a batch behind it": ("put", "checkpoints/samples/3/1/own/", 2, True),
    "in sample": ("create", "samples/3/1.json", 1, False),
    "in evaluate": ("put", "release/", 2, True),
}


@pytest.fixture(scope="module")
def unkilled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    root = tmp_path_factory.mktemp("unkilled")
    process = start(root, "a", CONFIG)
    process.join()
    assert process.exitcode == 0
    return fingerprint(Run.at(str(root), "a"))


@pytest.mark.parametrize("point", POINTS)
def test_a_run_killed_by_sigkill_ends_with_the_same_bytes(point: str, unkilled: dict[str, str], tmp_path: Path) -> None:
    killed = start(tmp_path, "a", CONFIG, POINTS[point])
    killed.join()
    assert killed.exitcode == -signal.SIGKILL, "the run ended before the point was reached"
    again = start(tmp_path, "a", CONFIG)
    again.join()
    assert again.exitcode == 0
    run = Run.at(str(tmp_path), "a")
    assert fingerprint(run) == unkilled
    retired = run.load(ProxyRecord, 0, 1).objects["raw.safetensors"]
    assert run.store.stat(retired.key) is None
    assert not list(run.store.list(f"{run.prefix}/checkpoints/"))


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, TERMINATED), (signal.SIGINT, INTERRUPTED)])
def test_a_signal_in_training_is_answered_by_a_checkpoint_and_an_exit_status(
    number: signal.Signals, status: int, unkilled: dict[str, str], tmp_path: Path
) -> None:
    slow_clock = tiny("execution.checkpoint_every_s=1e9")
    # asked to stop when proxy 1,0 has been committed, that is, while its successor trains or before it
    asked = start(tmp_path, "a", slow_clock, ("create", "proxies/1/0.json", 1, True, number))
    asked.join()
    assert asked.exitcode == status
    again = start(tmp_path, "a", CONFIG)
    again.join()
    assert again.exitcode == 0
    assert fingerprint(Run.at(str(tmp_path), "a")) == unkilled

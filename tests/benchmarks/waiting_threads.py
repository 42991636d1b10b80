"""A training step in two threads that sleep while they wait, against threads that spin (no goal given).

OpenMP lets them spin by default; Unecho does not.

On idle cores, and beside as many busy processes as there are cores; and there one thread against two.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.benchmarks.turns import Work, in_turns

PAIRS = 2
_BUSY = "while True: pass"
_STEP = """
import sys, torch
torch.set_num_threads(int(sys.argv[1]))
torch.manual_seed(0)
layers = [torch.nn.Conv2d(32, 32, 3, padding=1) for _ in range(8)]
network = torch.nn.Sequential(*(part for layer in layers for part in (layer, torch.nn.GroupNorm(8, 32))))
images = torch.randn(8, 32, 16, 16)
for _ in range(20):
    network(images).square().mean().backward()
"""
"""Many short parallel sections, as a small network has."""


def benchmark() -> None:
    with _busy(0):
        print(f"  idle, 2 threads: {_against(_steps(2, sleeping=True), _steps(2, sleeping=False))}", flush=True)
    cores = len(os.sched_getaffinity(0))
    with _busy(cores):
        sleeping, spinning = _steps(2, sleeping=True), _steps(2, sleeping=False)
        print(f"  beside {cores} busy processes, 2 threads: {_against(sleeping, spinning)}", flush=True)
        alone = _against(_steps(1, sleeping=True), sleeping, "one thread against two that sleep")
        print(f"  beside {cores} busy processes: {alone}", flush=True)


def _against(ours: Work, other: Work, what: str = "sleeping against spinning") -> str:
    turns = in_turns(ours, other, PAIRS)
    seconds = " and ".join(f"{second:.1f} s" for second in turns.seconds("wall"))
    return f"{what} {turns.inverse('wall')}, {seconds}"


def _steps(threads: int, *, sleeping: bool) -> Work:
    """Twenty steps in a process of their own: the policy is read when torch is loaded."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_", "KMP_"))}
    environment = clean | ({"OMP_WAIT_POLICY": "PASSIVE"} if sleeping else {})
    return lambda: subprocess.run([sys.executable, "-c", _STEP, str(threads)], env=environment, check=True)


@contextmanager
def _busy(count: int) -> Iterator[None]:
    processes = [subprocess.Popen([sys.executable, "-c", _BUSY]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()

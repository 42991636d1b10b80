"""What the local engine adds to a step (goal: under 50 ms)."""

import time
from collections.abc import Callable
from contextlib import redirect_stderr
from io import StringIO
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console

from unecho.components.config import RunConfig, resolve
from unecho.components.run import Run
from unecho.pipelines import local
from unecho.pipelines.display import Display
from unecho.pipelines.loop import iet

RUNS = 5


def benchmark() -> None:
    config = resolve("tiny")
    for shown, terminal in (("bars", True), ("lines", False)):
        running, finished = [], []
        for number in range(RUNS + 1):
            with TemporaryDirectory(prefix="unecho-bench-") as root, redirect_stderr(StringIO()):
                run = Run.at(root, "tiny")
                pair = _overhead(run, config, terminal), _again(run, config, terminal)
            if number:  # the first warms up
                running.append(pair[0])
                finished.append(pair[1])
        print(f"  {shown}, a run less the steps' own time: {_told(running)}")
        print(f"  {shown}, a finished run started again: {_told(finished)}")


def _told(found: list[float]) -> str:
    return f"{median(found):.2f} ms a step ({min(found):.2f} to {max(found):.2f}, {len(found)} runs)"


def _overhead(run: Run, config: RunConfig, terminal: bool) -> float:
    """Milliseconds a step, less what was spent inside the steps."""
    inside: list[float] = []

    def timed(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            started = time.perf_counter()
            try:
                return function(*arguments)
            finally:
                inside.append(time.perf_counter() - started)

        return call

    kept = local.run_step, local.plan
    local.run_step, local.plan = timed(local.run_step), timed(local.plan)
    try:
        wall, _ = _run(run, config, terminal)
    finally:
        local.run_step, local.plan = kept
    return 1000 * (wall - sum(inside)) / len(inside)


def _again(run: Run, config: RunConfig, terminal: bool) -> float:
    """Milliseconds a step where each step finds its record."""
    wall, steps = _run(run, config, terminal)
    return 1000 * wall / steps


class _Counting(local.Local):
    steps = 0

    def _one(self, name: str, round: int | None, index: int | None) -> object:
        self.steps += 1
        return super()._one(name, round, index)


def _run(run: Run, config: RunConfig, terminal: bool) -> tuple[float, int]:
    """Seconds of a whole run, and how many steps it had."""
    started = time.perf_counter()
    with Display(Console(file=StringIO(), force_terminal=terminal)) as display:
        engine = _Counting(run, config, display)
        iet(engine)
    return time.perf_counter() - started, engine.steps

"""Seconds and peak memory of some work, in a process of its own. Linux only: it reads /proc."""

import gc
import re
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from tests.benchmarks.turns import Cost, Work, cost

MIB = 2**20


@dataclass(frozen=True)
class Used:
    """What the work took.

    Attributes:
        peak: most resident memory, in bytes, above what the process had before the work.
    """

    cost: Cost
    peak: int

    def __str__(self) -> str:
        return f"{self.cost.wall:.1f} s ({self.cost.cpu:.1f} s of processor), peak {self.peak / MIB:.0f} MiB"


def in_own_process(ready: Callable[..., Work], *arguments: Any) -> Used:
    """Measure `ready(*arguments)()` in a fresh process: what `ready` does itself (imports) is not counted."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(_measured, ready, arguments).result()


def _measured(ready: Callable[..., Work], arguments: tuple[Any, ...]) -> Used:
    work = ready(*arguments)
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here on
    before = _status("VmRSS")
    spent = cost(work)
    return Used(spent, _status("VmHWM") - before)


def _status(field: str) -> int:
    found = re.search(rf"^{field}:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024

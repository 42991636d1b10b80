"""Which GPUs this machine shows, and how its processes share them."""

import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Condition
from typing import Final

from ..components.config import RunConfig
from ..components.failure import Fatal

VISIBLE: Final = "CUDA_VISIBLE_DEVICES"
"""Names the GPUs that a process sees: by number, by UUID, or parts of one (MIG) by theirs."""
_DEVICES: Final = ("nvidia[0-9]*", "kfd", "dxg")
_MIG: Final = re.compile(r"\(UUID: (MIG-[^)]+)\)")


def gpus_of(config: RunConfig) -> list[str]:
    """The GPUs that a run may use here; none where its device is another."""
    return visible_gpus() if config.execution.device in ("auto", "cuda") else []


def visible_gpus(environment: Mapping[str, str] = os.environ) -> list[str]:
    """What may stand in CUDA_VISIBLE_DEVICES to name the GPUs one by one; those that it names already where it is set.

    torch is asked how many there are, which makes no context on any of them. A process sees one part of a GPU that is
    in parts (MIG), so torch cannot count those: they are taken as they are named, by the variable or by nvidia-smi.
    """
    if not any(path for pattern in _DEVICES for path in Path("/dev").glob(pattern)):
        return []  # without torch, which takes seconds to load
    import torch

    count = torch.cuda.device_count()
    if (given := environment.get(VISIBLE)) is None:
        return _parts() or [str(number) for number in range(count)]
    named = [name.strip() for name in given.split(",") if name.strip()]
    if named and named[0].startswith("MIG-"):
        return named if torch.cuda.is_available() else []
    return named[:count]  # the first that is none hides those after it


def _parts() -> list[str]:
    """UUIDs of the parts of GPUs, where there are any."""
    try:
        told = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return []
    return _MIG.findall(told)


def process_count(config: RunConfig, gpus: Sequence[str]) -> int:
    """Processes of a run on this machine: `execution.processes`, or one a GPU, and one without any."""
    wanted = config.execution.processes
    return max(1, len(gpus)) if wanted == "auto" else wanted


class Seats:
    """Where the processes of a run may be: so many, each on one of the GPUs if there are any."""

    def __init__(self, count: int, gpus: Sequence[str]) -> None:
        """
        Args:
            count: of processes at once; where there are fewer GPUs, several are on one.
        """
        self.count, self._gpus = count, gpus
        self._free: list[str] = [gpus[place % len(gpus)] if gpus else "" for place in range(count)]
        self._changed = Condition()

    @contextmanager
    def taken(self, gpus: int) -> Iterator[dict[str, str]]:
        """Wait for a seat with so many GPUs, and have it for the block.

        Yields:
            What a process there has in its environment.

        Raises:
            Fatal: there are not as many.
        """
        wanted = gpus if self._gpus else 1
        if wanted > min(self.count, len(set(self._gpus)) or 1):
            raise Fatal(
                f"train.gpus_per_shard: {gpus}, but {len(set(self._gpus))} GPUs are visible here and "
                f"execution.processes is {self.count}: give this machine, or {VISIBLE}, as many"
            )
        with self._changed:
            self._changed.wait_for(lambda: len(self._distinct()) >= wanted)
            mine = self._distinct()[:wanted]
            for name in mine:
                self._free.remove(name)
        try:
            yield {VISIBLE: ",".join(mine)} if self._gpus else {}
        finally:
            with self._changed:
                self._free += mine
                self._changed.notify_all()

    def _distinct(self) -> list[str]:
        return list(dict.fromkeys(self._free))


def shared_out(gpus: Sequence[str], among: int) -> list[list[str]]:
    """The GPUs of each of so many: none is given twice where they suffice, and everybody has one where there is any."""
    if not gpus:
        return [[] for _ in range(among)]
    return [list(gpus[place::among]) or [gpus[place % len(gpus)]] for place in range(among)]

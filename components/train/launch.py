"""Starts the processes that train one proxy together, and says how they ended as one process would."""

import time
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NoReturn

import torch

from ..child import Children, End
from ..config import RunConfig
from ..diffusion.device import choose_device
from ..failure import DONE, FATAL, INTERRUPTED, TERMINATED, Fatal, Stopped, stop_asked
from ..progress import Progress
from ..run import Run
from .ranks import RANK, RENDEZVOUS

_LOOK_EVERY_S: Final = 0.2
_LEAVE_S: Final = 300.0
"""What all have for a checkpoint once one has stopped: a rank that waits to meet the others hears no signal."""
_GRACE_S: Final = 10.0
"""What the others have to end by themselves, and to say why, once one has failed: they may wait for it for ever."""
_AS_WISHED: Final = (DONE, TERMINATED, INTERRUPTED)
"""Ends after which the first rank may still write: it commits alone, and the checkpoint of all."""


def train_on_ranks(run: Run, config: RunConfig, round: int, index: int, progress: Progress) -> None:
    """Train proxy `index` through a round by `train.gpus_per_shard` processes.

    Raises:
        Fatal, Stopped: they say so. OSError: one of them failed otherwise.
    """
    count = config.train.gpus_per_shard
    _check_devices(config, count)
    arguments = ["train", "--run", run.url, "--round", str(round), "--index", str(index)]
    children, ends = Children(keep=False), list[tuple[int, End]]()

    def follow(rank: int, rendezvous: Path) -> None:
        told = progress if rank == 0 else _Other(progress, rank)
        environment = {RANK: f"{rank}/{count}", RENDEZVOUS: str(rendezvous)}
        ends.append((rank, children.run(arguments, environment, told)))

    by_themselves: list[tuple[int, End]] = ends
    with TemporaryDirectory() as folder, stop_asked() as asked, ThreadPoolExecutor(count) as pool:
        pending = {pool.submit(follow, rank, Path(folder) / "rendezvous") for rank in range(count)}
        left_at: float | None = None
        while pending:
            _, pending = wait(pending, _LOOK_EVERY_S, FIRST_COMPLETED)
            if asked() is not None and not children.stopping:
                children.terminate()
            if left_at is None and any(end.status in (TERMINATED, INTERRUPTED) for _, end in ends):
                left_at = time.monotonic()
            late = left_at is not None and time.monotonic() - left_at > _LEAVE_S
            if pending and (late or any(end.status not in _AS_WISHED for _, end in ends)):
                _, pending = wait(pending, _GRACE_S)
                by_themselves = list(ends)
                children.kill()
        status = asked()
    if failed := [(rank, end) for rank, end in by_themselves if end.status != DONE]:
        _raise(*min(failed, key=_lateness), status, progress)


def _check_devices(config: RunConfig, count: int) -> None:
    kind = choose_device(config).type
    if kind == "mps":
        raise Fatal(f"train.gpus_per_shard: {count}: a machine has one mps device: set it to 1")
    if kind == "cuda" and (visible := torch.cuda.device_count()) < count:
        raise Fatal(
            f"train.gpus_per_shard: {count}, and {visible} {'GPU is' if visible == 1 else 'GPUs are'} visible: "
            "give the process as many (accelerators of the pod, CUDA_VISIBLE_DEVICES)"
        )


def _lateness(of_rank: tuple[int, End]) -> int:
    """Which of several ends is the cause of the others, if in doubt the first: least of this."""
    status = of_rank[1].status
    return 0 if status == FATAL else 1 if status < 0 else 2


def _raise(rank: int, end: End, asked: int | None, progress: Progress) -> NoReturn:
    """What a process that trains alone would end with."""
    if end.status == FATAL:
        raise Fatal(end.line)
    if asked is not None or end.status in (TERMINATED, INTERRUPTED):
        raise Stopped(asked or end.status, end.line)
    if end.traceback:
        progress.note(end.traceback.rstrip())
    raise OSError(f"rank {rank}: {end}")


class _Other:
    """What ranks say that do not tell how far they are: warnings of libraries."""

    def __init__(self, progress: Progress, rank: int) -> None:
        self._progress, self._rank = progress, rank

    def update(self, done: int, total: int, unit: str, **figures: float) -> None:
        pass

    def note(self, text: str) -> None:
        self._progress.note(f"rank {self._rank}: {text}")

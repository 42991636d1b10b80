"""Whole runs of the tiny preset, in this process or in one that can be killed."""

import multiprocessing
import os
import signal
import sys
from collections.abc import Iterable
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from rich.console import Console

from unecho.components.config import RunConfig, resolve
from unecho.components.failure import status_of
from unecho.components.run import Assignment, ModelRecord, Run, SamplesRecord
from unecho.components.store.base import Buffer
from unecho.components.store.directory import DirectoryStore
from unecho.pipelines.display import Display
from unecho.pipelines.local import Local
from unecho.pipelines.loop import audit, iet

# One process imports what takes seconds; those that are killed are forked from it.
_FORKSERVER = multiprocessing.get_context("forkserver")
_FORKSERVER.set_forkserver_preload(
    ["unecho.components.train.step", "unecho.components.train.distributed", "unecho.components.evaluate.step"]
)


def tiny(*settings: str, variant: str = "iet-agc+") -> RunConfig:
    """The tiny preset with three rounds, so that weights are retired before the last."""
    return resolve("tiny", variant, settings=("iet.rounds=3", *settings))


def finish(run: Run, config: RunConfig) -> None:
    """Run to the end, here."""
    with Display(Console(quiet=True)) as display:
        (audit if config.is_audit else iet)(Local(run, config, display))


def fingerprint(run: Run) -> dict[str, str]:
    """Digests of what a run has computed: assignments, models (records stay when weights retire), samples."""
    config = run.config()
    kinds: list[tuple[type[Any], Iterable[tuple[int, ...]]]] = [
        (Assignment, [(r,) for r in range(config.iet.rounds + 1)]),
        (ModelRecord, [(r,) for r in range(config.iet.rounds + 1)]),
        (SamplesRecord, [(run.released_model(config).round, part) for part in range(config.sample.parts)]),
    ]
    return {
        f"{run.key(kind, *index)} {name}": ref.sha256
        for kind, indices in kinds
        for index in indices
        for name, ref in run.load(kind, *index).objects.items()
    }


class Killer(DirectoryStore):
    """A store that sends this process a signal just before or after one of its writes or removals."""

    def __init__(
        self, root: Path, operation: str, part: str, time: int, after: bool, number: signal.Signals = signal.SIGKILL
    ) -> None:
        """
        Args:
            operation: "put", "create" or "delete".
            part: of the key.
            time: which of the operations on such a key, from 1.
            number: the signal.
        """
        super().__init__(root)
        self._operation, self._part, self._left, self._after = operation, part, time, after
        self._number = number

    def _strike(self, operation: str, key: str, after: bool) -> None:
        if operation == self._operation and self._part in key and after == self._after:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), self._number)

    def put(self, key: str, data: Buffer | Path) -> None:
        self._strike("put", key, after=False)
        super().put(key, data)
        self._strike("put", key, after=True)

    def create(self, key: str, data: Buffer) -> bool:
        self._strike("create", key, after=False)
        won = super().create(key, data)
        self._strike("create", key, after=True)
        return won

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._strike("delete", key, after=False)
            super().delete([key])
            self._strike("delete", key, after=True)


Strike = tuple[str, str, int, bool] | tuple[str, str, int, bool, signal.Signals]


def _child(root: str, name: str, config: RunConfig, strike: Strike | None, environment: dict[str, str]) -> None:
    os.environ.update(environment)
    run = Run(Killer(Path(root), *strike), name) if strike else Run.at(root, name)
    sys.exit(status_of(lambda: finish(run, config)))


def start(root: Path | str, name: str, config: RunConfig, strike: Strike | None = None) -> ForkServerProcess:
    """Start a run in a process of its own, with this process's environment.

    Args:
        root: a directory or s3://bucket/prefix.
        strike: the arguments of `Killer` after the root, for a directory.
    """
    process = _FORKSERVER.Process(target=_child, args=(str(root), name, config, strike, dict(os.environ)))
    process.start()
    return process

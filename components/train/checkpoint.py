"""Progress that survives: checkpoints on a clock, written beside the training, and on a signal."""

import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from types import FrameType

from pydantic import ValidationError
from torch import Tensor

from unecho.components.failure import INTERRUPTED, TERMINATED, Fatal
from unecho.components.run import RoundFigures, Run
from unecho.components.run.checkpoints import MANIFEST, Checkpoint, checkpoint_manifests, checkpoints_prefix
from unecho.components.run.tensors import load_state, state_bytes
from unecho.components.store import put_object

_KEPT = 2


class Checkpoints:
    """The checkpoints of one proxy: runs/<run>/checkpoints/<r>/<k>/<attempt>/<step>/.

    Each process writes below an attempt of its own, so that a zombie cannot spoil its replacement's.
    """

    def __init__(self, run: Run, round: int, shard: int, every_s: float) -> None:
        self._run, self._round, self._shard = run, round, shard
        self._store = run.store
        self._prefix = checkpoints_prefix(run, round, shard)
        self._attempt = secrets.token_hex(4)
        self._every_s = every_s
        self._last = time.monotonic()
        self._pool = ThreadPoolExecutor(1, "unecho-checkpoint")
        self._writing: Future[None] | None = None

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True)

    def newest(self, told: Callable[[str], None]) -> tuple[int, dict[str, Tensor]] | None:
        """The step and the state of the newest checkpoint that reads well, or None.

        Args:
            told: hears of each that does not.
        """
        for key in self._manifests():
            try:
                found = Checkpoint.model_validate_json(self._store.get(key))
                return found.step, load_state(self._store, found.state)
            except (Fatal, ValidationError) as error:
                told(f"checkpoint {self._store.address(key)} left aside: {error}")
        return None

    def due(self) -> bool:
        """Whether the clock asks for one, and the one before has been written."""
        if time.monotonic() - self._last < self._every_s:
            return False
        return self._writing is None or self._writing.done()

    def write(self, step: int, state: dict[str, Tensor], figures: RoundFigures) -> None:
        """Write a snapshot beside the training; an earlier one that could not be written is raised here."""
        self.wait()
        self._last = time.monotonic()
        self._writing = self._pool.submit(self._write, step, state, figures)

    def wait(self) -> None:
        """Until the snapshot under way is in the store."""
        if self._writing:
            self._writing.result()

    def remove(self) -> None:
        """All of this proxy's: it is committed."""
        self.wait()
        self._store.delete([stat.key for stat in self._store.list(self._prefix)])

    def _write(self, step: int, state: dict[str, Tensor], figures: RoundFigures) -> None:
        base = f"{self._prefix}{self._attempt}/{step:010d}"
        ref = put_object(self._store, base, "state.safetensors", state_bytes(state))
        manifest = Checkpoint(step=step, state=ref, figures=figures)
        self._store.put(f"{base}/{MANIFEST}", manifest.model_dump_json().encode())
        for old in self._manifests()[_KEPT:]:
            folder = old.removesuffix(MANIFEST)
            self._store.delete([old, *(stat.key for stat in self._store.list(folder))])

    def _manifests(self) -> list[str]:
        """Keys of the checkpoints' manifests, the newest first."""
        return [stat.key for stat in checkpoint_manifests(self._run, self._round, self._shard)]


@contextmanager
def stop_asked() -> Iterator[Callable[[], int | None]]:
    """Catch SIGTERM and SIGINT until the end of the block.

    Yields:
        What says whether to stop: None, or the exit status to stop with. Outside the main thread,
        where no signal arrives, always None.
    """
    status: list[int] = []

    def ask(number: int, frame: FrameType | None) -> None:
        status.append(TERMINATED if number == signal.SIGTERM else INTERRUPTED)

    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield lambda: status[0] if status else None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

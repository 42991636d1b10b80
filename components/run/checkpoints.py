"""Progress of a proxy that survives: checkpoints on a clock, written beside the training."""

import secrets
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Self

from pydantic import BaseModel, ValidationError

from ..failure import Fatal
from ..store import ObjectRef, Stat, Store, put_object
from .address import Run
from .records import RoundFigures

if TYPE_CHECKING:
    from torch import Tensor

MANIFEST = "checkpoint.json"
_KEPT = 2


class Checkpoint(BaseModel):
    """A committed snapshot of a training.

    Attributes:
        step: steps done; of a shard slot over all rounds. Of generated images, the index after the last one.
        state: safetensors of the snapshot (`train.slot.Slot`, `diffusion.pretraining.training.Training`), or images.
        figures: of a shard slot, of its round so far.
    """

    step: int
    state: ObjectRef
    figures: RoundFigures | None = None


def checkpoints_prefix(run: Run, round: int, shard: int) -> str:
    """Key prefix of all attempts of one proxy: <attempt>/<step>/ below it."""
    return f"{run.prefix}/checkpoints/{round}/{shard}/"


def batches_prefix(run: Run, round: int, part: int) -> str:
    """Key prefix of what is finished of one part of the images: <set>/<first>-<stop>/ below it."""
    return f"{run.prefix}/checkpoints/samples/{round}/{part}/"


def checkpoint_manifests(run: Run, round: int, shard: int) -> list[Stat]:
    """The checkpoints' manifests, the newest first."""
    return _manifests_below(run.store, checkpoints_prefix(run, round, shard))


def _manifests_below(store: Store, prefix: str) -> list[Stat]:
    found = [stat for stat in store.list(prefix) if stat.key.endswith(f"/{MANIFEST}")]
    return sorted(found, key=lambda stat: int(stat.key.split("/")[-2]), reverse=True)


class CheckpointsBelow:
    """The checkpoints of one training below a prefix: <attempt>/<step>/.

    Each process writes below an attempt of its own, so that a zombie cannot spoil its replacement's.
    """

    def __init__(self, store: Store, prefix: str, every_s: float) -> None:
        """
        Args:
            prefix: of keys, with a slash at its end.
        """
        self._store, self._prefix = store, prefix
        self._attempt = secrets.token_hex(4)
        self._every_s = every_s
        self._last = time.monotonic()
        self._pool = ThreadPoolExecutor(1, "unecho-checkpoint")
        self._writing: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True)

    def newest(self, note: Callable[[str], None]) -> tuple[int, dict[str, "Tensor"]] | None:
        """The step and the state of the newest checkpoint that reads well, or None.

        Args:
            note: called with a line about each that does not.
        """
        from .tensors import load_state  # torch: where checkpoints are only counted, it stays out

        for key in self._manifests():
            try:
                found = Checkpoint.model_validate_json(self._store.get(key))
                return found.step, load_state(self._store, found.state)
            except (Fatal, ValidationError) as error:
                note(f"checkpoint {self._store.address(key)} left aside: {error}")
        return None

    def due(self) -> bool:
        """Whether the clock asks for one, and the one before has been written."""
        if time.monotonic() - self._last < self._every_s:
            return False
        return self._writing is None or self._writing.done()

    def write(self, step: int, state: dict[str, "Tensor"], figures: RoundFigures | None = None) -> None:
        """Write a snapshot beside the training; an earlier one that could not be written is raised here."""
        self.wait()
        self._last = time.monotonic()
        self._writing = self._pool.submit(self._write, step, state, figures)

    def wait(self) -> None:
        """Until the snapshot under way is in the store."""
        if self._writing:
            self._writing.result()

    def remove(self) -> None:
        """All of them: what was in training is committed."""
        self.wait()
        self._store.delete([stat.key for stat in self._store.list(self._prefix)])

    def _write(self, step: int, state: dict[str, "Tensor"], figures: RoundFigures | None) -> None:
        from .tensors import state_bytes

        base = f"{self._prefix}{self._attempt}/{step:010d}"
        ref = put_object(self._store, base, "state.safetensors", state_bytes(state))
        manifest = Checkpoint(step=step, state=ref, figures=figures)
        self._store.put(f"{base}/{MANIFEST}", manifest.model_dump_json().encode())
        for old in self._manifests()[_KEPT:]:
            folder = old.removesuffix(MANIFEST)
            self._store.delete([old, *(stat.key for stat in self._store.list(folder))])

    def _manifests(self) -> list[str]:
        """Keys of the checkpoints' manifests, the newest first."""
        return [stat.key for stat in _manifests_below(self._store, self._prefix)]


class Checkpoints(CheckpointsBelow):
    """The checkpoints of one proxy: runs/<run>/checkpoints/<r>/<k>/<attempt>/<step>/."""

    def __init__(self, run: Run, round: int, shard: int, every_s: float) -> None:
        super().__init__(run.store, checkpoints_prefix(run, round, shard), every_s)

"""Generated images that survive: the finished batches of a part, kept on a clock until the part is committed."""

import time
from collections.abc import Callable, Iterator
from itertools import groupby
from types import TracebackType
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError

from ..failure import Fatal, Stopped
from ..store import put_object
from .address import Run
from .checkpoints import MANIFEST, Checkpoint, batches_prefix
from .tensors import load_state, state_bytes

Images = NDArray[np.uint8]


class UnfinishedPart:
    """What is finished of a part: runs/<run>/checkpoints/samples/<R>/<K>/<set>/<first>-<stop>/.

    An image is a function of weights, seed and index: whoever has made a batch, it is the same, so what several
    processes leave goes together. What is not in the store yet is put there when the block ends by a signal.
    """

    def __init__(self, run: Run, round: int, part: int, every_s: float, note: Callable[[str], None]) -> None:
        """
        Args:
            note: called with a line on what is gone on from, and on each object that does not read well.
        """
        self._store, self._prefix = run.store, batches_prefix(run, round, part)
        self._part, self._every_s, self._note = part, every_s, note
        self._last = time.monotonic()
        self._pending: list[tuple[str, int, Images]] = []
        """Batches that are not in the store: of which set, and the first one's index."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if isinstance(error, Stopped | KeyboardInterrupt):
            self._keep()

    def images(
        self,
        name: str,
        start: int,
        stop: int,
        make: Callable[[int], Iterator[Images]],
        on_progress: Callable[[int], None],
    ) -> Images:
        """Images `start` to `stop - 1` of a set, uint8 [stop - start, C, H, W]: those that are kept, then new ones.

        Args:
            name: of the set.
            make: from an index to the batches from there on.
            on_progress: called with how many images are done, after each batch.
        """
        batches = list(self._kept(name, start, stop))
        done = sum(map(len, batches))
        if done:
            self._note(f"part {self._part}: goes on from image {done} of {stop - start} ({name})")
        for batch in make(start + done):
            self._pending.append((name, start + done, batch))
            batches.append(batch)
            done += len(batch)
            on_progress(done)
            if time.monotonic() - self._last >= self._every_s:
                self._keep()
        return np.concatenate(batches)

    def remove(self) -> None:
        """All of it: the part is committed."""
        self._pending = []
        self._store.delete([stat.key for stat in self._store.list(self._prefix)])

    def _kept(self, name: str, start: int, stop: int) -> Iterator[Images]:
        """What is kept of a set without a gap from its first image on."""
        folder = f"{self._prefix}{name}/"
        manifests = sorted(stat.key for stat in self._store.list(folder) if stat.key.endswith(f"/{MANIFEST}"))
        at = start
        for key in manifests:  # by their first image
            first = int(key.removeprefix(folder).partition("-")[0])
            try:
                found = Checkpoint.model_validate_json(self._store.get(key))
                if first <= at < found.step <= stop:
                    yield load_state(self._store, found.state)["images"].numpy()[at - first :]
                    at = found.step
            except (Fatal, ValidationError) as error:
                self._note(f"images {self._store.address(key)} left aside: {error}")

    def _keep(self) -> None:
        """Put what was made since the last time into the store."""
        for name, of_set in groupby(self._pending, key=lambda pending: pending[0]):
            pending = list(of_set)
            first, images = pending[0][1], torch.from_numpy(np.concatenate([batch for _, _, batch in pending]))
            base = f"{self._prefix}{name}/{first:010d}-{first + len(images):010d}"
            ref = put_object(self._store, base, "images.safetensors", state_bytes({"images": images}))
            manifest = Checkpoint(step=first + len(images), state=ref)
            self._store.put(f"{base}/{MANIFEST}", manifest.model_dump_json().encode())
        self._pending = []
        self._last = time.monotonic()

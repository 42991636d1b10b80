"""How a shard's data get to the device: held there, or read a few batches ahead."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..config import RunConfig
from ..diffusion.device import let_go
from ..failure import Fatal
from ..host_memory import Memory, gigabytes, host_memory, said

AHEAD = 4
"""Batches that are read while one trains."""
_SHARE_OF_MEMORY = 0.25
_BYTES_AT_ONCE = 256 << 20
"""Of the rows that stay on the device, on their way there."""

Read = Callable[[NDArray[np.int64]], Tensor]
"""Rows by their numbers, on the CPU."""


class Rows(Protocol):
    """Rows of a shard by their places in it."""

    def expect(self, places: Tensor) -> None:
        """Start to read a batch that will be taken soon."""

    def take(self, places: Tensor) -> Tensor:
        """The rows of these places, int64 [B] on the CPU, on the device."""


class HeldRows:
    """The shard's rows stay on the device, as the store has them.

    They get there in parts: a pod's own memory is smaller than that of its device.
    """

    def __init__(self, read: Read, numbers: NDArray[np.int64], device: torch.device) -> None:
        """
        Args:
            numbers: of the shard's rows, at least one.
        """
        first = read(numbers[:1])
        at_once = max(1, _BYTES_AT_ONCE // first.nbytes)
        self._rows, self._device = (
            torch.empty((len(numbers), *first.shape[1:]), dtype=first.dtype, device=device),
            device,
        )
        for start in range(0, len(numbers), at_once):
            self._rows[start : start + at_once] = read(numbers[start : start + at_once])

    def expect(self, places: Tensor) -> None:
        """Nothing to fetch ahead."""

    def take(self, places: Tensor) -> Tensor:
        return self._rows.index_select(0, places.to(self._device, non_blocking=True))


class StreamedRows:
    """Batches are read while earlier ones train: for shards larger than the device's memory."""

    def __init__(self, read: Read, numbers: NDArray[np.int64], device: torch.device, pool: ThreadPoolExecutor) -> None:
        self._read_rows, self._numbers, self._device, self._pool = read, numbers, device, pool
        self._coming: deque[tuple[bytes, Future[Tensor]]] = deque()

    def expect(self, places: Tensor) -> None:
        self._coming.append((places.numpy().tobytes(), self._pool.submit(self._read, places)))

    def take(self, places: Tensor) -> Tensor:
        key = places.numpy().tobytes()
        if not any(expected == key for expected, _ in self._coming):  # what is on its way is still wanted
            return self._read(places).to(self._device, non_blocking=True)
        while True:
            expected, future = self._coming.popleft()
            if expected == key:
                return future.result().to(self._device, non_blocking=True)

    def _read(self, places: Tensor) -> Tensor:
        rows = self._read_rows(self._numbers[places.numpy()])
        return rows.pin_memory() if self._device.type == "cuda" else rows


@contextmanager
def shard_rows(
    config: RunConfig, read: Read, numbers: NDArray[np.int64], row_bytes: int, device: torch.device
) -> Iterator[Rows]:
    """The shard's rows, held or streamed as `execution.hold_images` says.

    Args:
        numbers: of the shard's rows, int64 [n]; a place is one in this array.
        row_bytes: bytes of a row.

    Raises:
        Fatal: they are to be held, and there is not as much memory.
    """
    hold, needed = config.execution.hold_images, len(numbers) * row_bytes
    memory = _memory(device)
    if hold == "auto":
        # a quarter of what there is: the network, its activations and checkpoints need the rest
        fits = needed <= min(_SHARE_OF_MEMORY * memory.limit, memory.free)
        hold = "device" if fits else "stream"
    if hold == "device":
        if needed > memory.free:
            raise Fatal(
                f"execution.hold_images: device: the shard's {len(numbers):,} rows are {gigabytes(needed)}, where "
                f"{said(memory)}: set execution.hold_images=stream"
            )
        yield HeldRows(read, numbers, device)
        return
    with ThreadPoolExecutor(AHEAD, "unecho-batch") as pool:
        yield StreamedRows(read, numbers, device, pool)


def _memory(device: torch.device) -> Memory:
    """Of the device; on a GPU all that is free there when training begins."""
    if device.type != "cuda":
        return host_memory()
    let_go(device)
    free = torch.cuda.mem_get_info(device)[0]
    return Memory(limit=free, free=free)

"""Decoding many images of a store, or other work on them, in processes of their own, in order and in bounded memory.

The processes are spawned, never forked: a fork of a process whose arithmetic library runs threads can hang.
They read the objects themselves, several at a time, so that a store's latency is hidden and no image crosses twice.
"""

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..store import Store
from .image import BadImage, Fit, decode
from .manifest import row_digests
from .sources.source import Decoded, Located, Place

T = TypeVar("T")

IN_PROCESS_BYTES = 8 << 20
"""Smaller sources are decoded in this process: starting others would take longer."""
_LIMIT: Final = Path("/sys/fs/cgroup/cpu.max")
"""Microseconds of processor time, or max, in each of so many: Linux, cgroup-v2.rst, CPU Interface Files."""
_THREADS = 8
"""That read objects in each process."""
MOST_AHEAD = 32
"""Small objects that are read before their turn to be decoded."""
_AHEAD_BYTES = 64 << 20
"""Large ones: as many as have this size together, in each process."""


@dataclass(frozen=True)
class Decoder:
    """Decodes files; another process can be given one.

    Attributes:
        store: where they are.
        ahead: how many are read before their turn.
    """

    store: Store
    fit: Fit
    ahead: int

    def __call__(self, items: range, places: list[Place]) -> Decoded:
        images: list[NDArray[np.uint8]] = []
        bad = []
        for item, data in zip(items, read_ahead(self.store, places, self.ahead), strict=True):
            try:
                images.append(decode(data, self.fit))
            except BadImage as error:
                bad.append((item, str(error)))
        stacked = np.stack(images) if images else np.empty((0, *self.fit.shape), np.uint8)
        return Decoded(items, stacked, row_digests(stacked), bad)


def decoder_of(located: Located, fit: Fit) -> Decoder:
    """What decodes the images of a source."""
    ahead = max(2, min(MOST_AHEAD, _AHEAD_BYTES * located.count // max(1, located.total_bytes)))
    return Decoder(located.store, fit, ahead)


def decode_files(located: Located, wanted: Iterable[range], fit: Fit, workers: int) -> Generator[Decoded, None, None]:
    """Decode images.

    Args:
        wanted: their numbers in the source, for one go each.
        workers: processes, 0 for one a core.
    """
    batches = ((items, located.places(items)) for items in wanted)
    yield from in_processes(processes_for(located, workers), decoder_of(located, fit), batches)


def processes_for(located: Located, workers: int) -> int:
    """How many processes decode a source; 1 for this one alone.

    Args:
        workers: processes, 0 for one a core.
    """
    return 1 if located.total_bytes <= IN_PROCESS_BYTES else workers or _cores()


def in_processes(processes: int, work: Callable[..., T], goes: Iterable[tuple[Any, ...]]) -> Generator[T, None, None]:
    """What `work` makes of each go's arguments, in their order; in this process where there is to be but one.

    Args:
        work: is given to each process once.
        goes: a bounded number of them is under way.
    """
    if processes == 1:
        for arguments in goes:
            yield work(*arguments)
        return
    pool = ProcessPoolExecutor(processes, get_context("spawn"), _start_worker, (work,))
    window: deque[Future[T]] = deque()
    try:
        for arguments in goes:
            if len(window) > 2 * processes:  # a bounded number of results wait for a slow one before them
                yield window.popleft().result()
            window.append(pool.submit(_in_worker, *arguments))
        while window:
            yield window.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def read_ahead(store: Store, places: list[Place], ahead: int) -> Iterator[bytes]:
    """The bytes of each place, in order, at most `ahead` of them being read or waiting while one is worked on."""
    if not store.distant:
        for place in places:
            yield from _read(store, [place])
        return
    group = max(1, ahead // _THREADS)  # handing over small objects one by one would cost more than decoding them
    with ThreadPoolExecutor(_THREADS) as pool:
        window: deque[Future[list[bytes]]] = deque()
        for first in range(0, len(places), group):
            if len(window) * group >= ahead:
                yield from window.popleft().result()
            window.append(pool.submit(_read, store, places[first : first + group]))
        while window:
            yield from window.popleft().result()


def _read(store: Store, places: list[Place]) -> list[bytes]:
    """Those of one object together: the store reads through small gaps between them."""
    read = list[bytes]()
    for key, some in groupby(places, lambda place: place.key):
        parts = [None if size is None else (start, bytearray(size)) for _, start, size in some]
        if ranges := [(part[0], memoryview(part[1])) for part in parts if part and part[1]]:
            store.read_ranges(key, ranges)
        read += [bytes(part[1]) if part else store.get(key) for part in parts]
    return read


_work: Callable[..., Any]


def _start_worker(work: Callable[..., Any]) -> None:
    global _work
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends us
    threading.Thread(target=_die_with_parent, daemon=True).start()
    _work = work


def _die_with_parent() -> None:
    """A worker whose parent was killed would wait for work for ever."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _in_worker(*arguments: Any) -> Any:
    return _work(*arguments)


def _cores() -> int:
    """Those that this process may use: of a pod on a large node as many as its limit says."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with suppress(OSError, ValueError):  # there is no such file, or it says that there is no limit
        quota, period = map(int, _LIMIT.read_text().split())
        cores = min(cores, max(1, -(-quota // period)))
    return cores

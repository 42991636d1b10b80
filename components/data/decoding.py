"""Decoding many images of a store, in processes of their own, in order and in bounded memory.

The processes are spawned, never forked: a fork of a process whose arithmetic library runs threads can hang.
They read the objects themselves, several at a time, so that a store's latency is hidden and no image crosses twice.
"""

import os
import signal
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from itertools import groupby
from multiprocessing import get_context, parent_process
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..store import Store
from .image import BadImage, Fit, decode
from .manifest import row_digests
from .sources.source import Decoded

IN_PROCESS_BYTES = 8 << 20
"""Smaller sources are decoded in this process: starting others would take longer."""
_THREADS = 8
"""That read objects in each process."""
MOST_AHEAD = 32
"""Small objects that are read before their turn to be decoded."""
_AHEAD_BYTES = 64 << 20
"""Large ones: as many as have this size together, in each process."""


class Place(NamedTuple):
    """Where the bytes of an image are.

    Attributes:
        key: of the object.
        start, size: where in it; None for all of it.
    """

    key: str
    start: int = 0
    size: int | None = None


_Batch = tuple[range, list[Place]]


def decode_places(
    store: Store, batches: Iterable[_Batch], fit: Fit, workers: int, count: int, total_bytes: int
) -> Generator[Decoded, None, None]:
    """Decode images.

    Args:
        batches: numbers in the source and places, for one go each.
        workers: processes, 0 for one a core.
        count, total_bytes: of all images of the source.
    """
    processes = workers or _cores()
    ahead = max(2, min(MOST_AHEAD, _AHEAD_BYTES * count // max(1, total_bytes)))
    if processes == 1 or total_bytes <= IN_PROCESS_BYTES:
        for items, places in batches:
            yield _decode_batch(store, items, places, fit, ahead)
        return
    pool = ProcessPoolExecutor(processes, get_context("spawn"), _start_worker, (store, fit, ahead))
    window: deque[Future[Decoded]] = deque()
    try:
        for items, places in batches:
            if len(window) > 2 * processes:  # a bounded number of results wait for a slow one before them
                yield window.popleft().result()
            window.append(pool.submit(_decode_in_worker, items, places))
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


def _decode_batch(store: Store, items: range, places: list[Place], fit: Fit, ahead: int) -> Decoded:
    images: list[NDArray[np.uint8]] = []
    bad = []
    for item, data in zip(items, read_ahead(store, places, ahead), strict=True):
        try:
            images.append(decode(data, fit))
        except BadImage as error:
            bad.append((item, str(error)))
    stacked = np.stack(images) if images else np.empty((0, *fit.shape), np.uint8)
    return Decoded(items, stacked, row_digests(stacked), bad)


_worker: tuple[Store, Fit, int]


def _start_worker(store: Store, fit: Fit, ahead: int) -> None:
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends us
    threading.Thread(target=_die_with_parent, daemon=True).start()
    _worker = (store, fit, ahead)


def _die_with_parent() -> None:
    """A worker whose parent was killed would wait for work for ever."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _decode_in_worker(items: range, places: list[Place]) -> Decoded:
    store, fit, ahead = _worker
    return _decode_batch(store, items, places, fit, ahead)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

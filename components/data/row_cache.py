"""Rows of a data set that were read, kept in one sparse local file: so a streamed shard is asked of the store once."""

import os
from contextlib import suppress
from mmap import ACCESS_READ, mmap
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_ROWS, _HELD = ".rows", ".held"


class RowCache:
    """DIRECTORY/<digest>.rows holds row r at r times its size, DIRECTORY/<digest>.held whether it does, a byte each.

    Only rows that were asked for take room on the disk: a training pod's are its shard. Processes may share the
    directory, and the next round's pod finds what its disk has kept. A row is written before it is marked; whoever
    reads checks pixels against the data set's own digests, so nothing here is believed. Whatever goes wrong (a full
    disk, a read-only or lost directory) is a miss, never an error.
    """

    def __init__(self, directory: Path, digest: str, samples: int, row_bytes: int, limit_bytes: int) -> None:
        """
        Args:
            directory: made if it is not there.
            digest: of the data set.
            limit_bytes: of the disk, over all files of the directory; those of other data sets that were used
                longest ago are dropped for new rows.
        """
        self._path, self._row_bytes, self._limit_bytes = directory / digest, row_bytes, limit_bytes
        self._held: NDArray[np.bool_] | None = None
        with suppress(OSError, ValueError):
            directory.mkdir(parents=True, exist_ok=True)
            self._rows_file = self._opened(_ROWS, samples * row_bytes)
            self._held_file = self._opened(_HELD, samples)
            # both are read through the page cache that processes share, and written by calls that can fail
            self._held = np.frombuffer(mmap(self._held_file, samples, access=ACCESS_READ), np.bool_)
            whole = mmap(self._rows_file, samples * row_bytes, access=ACCESS_READ)
            self._rows = np.frombuffer(whole, np.uint8).reshape(samples, row_bytes)
            self._budget = self._find_budget()

    def read(self, rows: NDArray[np.int64], target: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Fill what is here.

        Args:
            rows: [n].
            target: [n, ...], `row_bytes` each.

        Returns:
            Which rows were here, bool [n].
        """
        if self._held is None:
            return np.zeros(len(rows), np.bool_)
        here = self._held[rows]
        target.reshape(len(rows), -1)[here] = self._rows[rows[here]]
        return here

    def add(self, rows: NDArray[np.int64], images: NDArray[np.uint8]) -> None:
        """Keep rows whose pixels were checked; a limit or a disk that is reached keeps what there is.

        Args:
            rows: [n], ascending.
            images: [n, ...].
        """
        if self._held is None:
            return
        runs = np.split(np.arange(len(rows)), np.flatnonzero(np.diff(rows) > 1) + 1)
        with suppress(OSError):
            if _allocated(os.fstat(self._rows_file)) + images.nbytes > self._budget:
                return
            for run in runs:
                first, data = int(rows[run[0]]), np.ascontiguousarray(images[run[0] : run[-1] + 1]).reshape(-1).data
                if os.pwrite(self._rows_file, data, first * self._row_bytes) != data.nbytes:
                    return
                os.pwrite(self._held_file, b"\1" * len(run), first)

    def forget(self, rows: NDArray[np.int64]) -> None:
        """Drop rows whose pixels were found to be wrong."""
        if self._held is not None:
            with suppress(OSError):
                for row in rows.tolist():
                    os.pwrite(self._held_file, b"\0", row)

    def _opened(self, ending: str, size: int) -> int:
        descriptor = os.open(f"{self._path}{ending}", os.O_RDWR | os.O_CREAT, 0o600)
        if os.fstat(descriptor).st_size != size:
            os.ftruncate(descriptor, size)  # a hole: it takes no room
        return descriptor

    def _find_budget(self) -> int:
        """Bytes that this file may take, after those of other data sets have gone as far as all its rows need it."""
        os.utime(self._rows_file)  # used: dropped later
        wanted = len(self._rows) * self._row_bytes
        others = sorted(
            (status.st_mtime_ns, _allocated(status), path)
            for path in self._path.parent.glob(f"*{_ROWS}")
            if path.stem != self._path.name and (status := path.stat())
        )
        taken = sum(size for _, size, _ in others)
        for _, size, path in others:
            if taken + wanted <= self._limit_bytes:
                break
            path.with_suffix(_HELD).unlink(missing_ok=True)
            path.unlink(missing_ok=True)
            taken -= size
        return self._limit_bytes - taken


def _allocated(status: os.stat_result) -> int:
    """Bytes on the disk, holes left out."""
    return status.st_blocks * 512

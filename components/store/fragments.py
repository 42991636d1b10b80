"""Fragments of objects in files of a directory that processes share, each with its check sum.

Whoever appends holds a lock on the directory, and first cuts off what a writer that was killed has left half written.
"""

import fcntl
import logging
import os
import secrets
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock

from unecho.components.store.fragment_index import ENTRY, FORMAT, HEAD, NAME_SIZE, FragmentIndex
from unecho.components.store.s3.transfer import Range

LONGEST = 256 << 10
"""Bytes of a fragment at most: what is read of the disk, and checked, to serve any byte of it."""
_SUFFIX = ".fragments"
_WRITE_AT_ONCE = 512
"""Buffers to one system call; Linux takes up to 1024."""
_log = logging.getLogger(__name__)


class FragmentFolder:
    """What is cached of objects. Whatever goes wrong here is a miss, never an error."""

    def __init__(self, directory: Path, limit_bytes: int) -> None:
        self._directory, self._limit_bytes = directory, limit_bytes
        self._indexes: dict[str, FragmentIndex] = {}
        self._lock = Lock()

    def size(self, name: str) -> int | None:
        """Size of the object, if it is known here."""
        with suppress(OSError), self._opened(name) as descriptor:
            return self._refreshed(name, descriptor).size
        return None

    def read(self, name: str, ranges: Sequence[Range]) -> list[Range]:
        """Fill what is here of the ranges; returns what is not."""
        try:
            with self._opened(name) as descriptor:
                missing = self._read(name, descriptor, ranges)
                os.utime(descriptor)  # it was used: dropped later
                return missing
        except _Altered:
            self.forget(name)
        except OSError:
            pass
        return list(ranges)

    def add(self, name: str, ranges: Sequence[Range], size: int | None = None) -> None:
        """Keep ranges of an object.

        Args:
            size: of the object, where it is known.
        """
        table, payload = bytearray(), []
        for start, data in ranges:
            for at in range(0, len(data), LONGEST):
                part = data[at : at + LONGEST]
                table += ENTRY.pack(start + at, len(part), zlib.crc32(part))
                payload.append(part)
        bytes_ = sum(len(part) for part in payload)
        head = HEAD.pack(-1 if size is None else size, bytes_, len(payload), 0, len(table))
        check = zlib.crc32(table, zlib.crc32(head))
        head = HEAD.pack(-1 if size is None else size, bytes_, len(payload), check, len(table))
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            with self._exclusive():
                if self._make_room(NAME_SIZE + len(head) + len(table) + bytes_):
                    self._append(name, [memoryview(head), memoryview(table), *payload])
        except OSError as error:
            _log.debug("not cached: %s: %s", self._directory, error)

    def forget(self, name: str) -> None:
        """Drop what is here of an object."""
        with self._lock:
            self._indexes.pop(name, None)
        with suppress(OSError):
            self._path(name).unlink()

    def _read(self, name: str, descriptor: int, ranges: Sequence[Range]) -> list[Range]:
        index = self._refreshed(name, descriptor)
        missing: list[Range] = []
        held, held_data = -1, b""
        for start, target in ranges:
            position, end = start, start + len(target)
            while position < end:
                with self._lock:
                    first, stop, offset, check = index.at(position)
                here = min(end, stop)
                part = target[position - start : here - start]
                if offset < 0:
                    missing.append((position, part))
                elif position == first and here == stop:  # all of a fragment: no copy
                    if os.preadv(descriptor, [part], offset) != len(part) or zlib.crc32(part) != check:
                        raise _Altered
                else:
                    if offset != held:
                        held, held_data = offset, os.pread(descriptor, stop - first, offset)
                        if len(held_data) != stop - first or zlib.crc32(held_data) != check:
                            raise _Altered
                    part[:] = held_data[position - first : here - first]
                position = here
        return missing

    def _append(self, name: str, buffers: list[memoryview]) -> None:
        descriptor = os.open(self._path(name), os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            if os.fstat(descriptor).st_size < NAME_SIZE:
                os.ftruncate(descriptor, 0)
                os.write(descriptor, FORMAT + secrets.token_bytes(NAME_SIZE - len(FORMAT)))
            end = self._refreshed(name, descriptor).end
            os.ftruncate(descriptor, end)
            try:
                for at in range(0, len(buffers), _WRITE_AT_ONCE):
                    some = buffers[at : at + _WRITE_AT_ONCE]
                    if os.writev(descriptor, some) != sum(len(buffer) for buffer in some):
                        raise OSError("disk full")
            except BaseException:
                os.ftruncate(descriptor, end)
                raise
        finally:
            os.close(descriptor)

    def _make_room(self, needed: int) -> bool:
        """Drop the objects that were used longest ago; False if `needed` bytes can never fit."""
        if needed > self._limit_bytes:
            return False
        files = []
        with os.scandir(self._directory) as entries:
            for entry in entries:
                if entry.name.endswith(_SUFFIX):
                    with suppress(FileNotFoundError):
                        status = entry.stat()
                        files.append((status.st_mtime_ns, status.st_size, entry.path))
        total = sum(size for _, size, _ in files)
        for _, size, path in sorted(files):
            if total + needed <= self._limit_bytes:
                break
            with suppress(FileNotFoundError):
                os.unlink(path)
            total -= size
        return True

    def _refreshed(self, name: str, descriptor: int) -> FragmentIndex:
        """The index of a file, with what other processes have appended meanwhile."""
        file_name = os.pread(descriptor, NAME_SIZE, 0)
        if len(file_name) != NAME_SIZE or not file_name.startswith(FORMAT):
            raise _Altered
        with self._lock:
            index = self._indexes.get(name)
            if index is None or index.file_name != file_name:  # dropped and made anew
                index = self._indexes[name] = FragmentIndex(file_name)
            index.extend(descriptor)
            return index

    @contextmanager
    def _opened(self, name: str) -> Iterator[int]:
        descriptor = os.open(self._path(name), os.O_RDONLY)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """One writer at a time, over processes and threads; a writer that is killed lets go."""
        descriptor = os.open(self._directory / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _path(self, name: str) -> Path:
        return self._directory / f"{name}{_SUFFIX}"


class _Altered(OSError):
    """A file's bytes are not those that were written."""

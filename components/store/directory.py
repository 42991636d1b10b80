"""file://: a directory as an object store, with the promises of the S3 one."""

import errno
import heapq
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import copyfileobj
from typing import BinaryIO
from urllib.parse import quote_from_bytes

from ..failure import Fatal
from .base import Buffer, Missing, Range, Stat, Store
from .exclusive import TEMPORARY, publish

_HOPELESS = {
    errno.ENOSPC: "no space left",
    errno.EDQUOT: "quota used up",
    errno.EROFS: "read-only file system",
    errno.EACCES: "permission denied",
    errno.EPERM: "not permitted",
    errno.ENAMETOOLONG: "name too long",
    errno.ELOOP: "a link that leads back to itself",
    errno.ENXIO: "no such device, or a socket or pipe that nobody reads",
    errno.ENODEV: "no such device",
    errno.ENOTSUP: "this file system does not support it",
    errno.EOPNOTSUPP: "this file system does not support it",
    errno.ENOSYS: "this file system does not support it",
    errno.EXDEV: "its folder spans two file systems",
    errno.EMLINK: "too many links",
    errno.EISDIR: "a directory of that name is in the way",
    errno.ENOTDIR: "a file is in the way, where a directory is needed",
    errno.EEXIST: "a file is in the way, where a directory is needed",
    errno.ENOTEMPTY: "a directory of that name is in the way",
    errno.EFBIG: "too large for this file system",
    errno.EINVAL: "this file system does not allow such a name or operation",
    errno.EILSEQ: "this file system does not allow such a name",
    errno.EOVERFLOW: "too large for this system",
    errno.ETXTBSY: "a program that is running",
}
"""What trying again cannot cure. Others may pass: EIO, ESTALE, ENOTCONN, EMFILE, EINTR, ENOMEM, ..."""
_NO_FSYNC = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF, errno.EACCES, errno.EPERM}
"""Answers of file systems that cannot be asked to bring a directory to the disk."""
_QUOTED = re.compile(rb"[%?#\x00-\x1f\x7f-\xff]+")

Wanted = Callable[[str, bool, bool], bool]
"""From the key of a file or folder, whether it is a folder and whether a link led to it, to whether it is wanted."""
PassedOver = Callable[[str, str], None]
"""Is told a reason and a key."""


class DirectoryStore(Store):
    """Objects are regular files; a write is a temporary file that gets its name when it is whole and on the disk."""

    distant = False

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        self.url = f"file://{_quoted(str(self._root))}"

    def path(self, key: str) -> Path:
        """The file that holds an object."""
        if key.startswith("/") or ".." in key.split("/"):
            raise Fatal(f"{key}: a key is a relative path without '..'")
        return self._root / key

    def address(self, key: str) -> str:
        return f"{self.url}/{_quoted(key)}"

    def get(self, key: str) -> bytes:
        with self._named(key), self._opened(key) as file:
            return file.read()

    def read_into(self, key: str, start: int, target: memoryview) -> None:
        self.read_ranges(key, [(start, target)])

    def read_ranges(self, key: str, ranges: Sequence[Range]) -> None:
        with self._named(key), self._opened(key) as file:
            for start, target in ranges:
                done = 0
                while done < len(target):
                    count = os.preadv(file.fileno(), [target[done:]], start + done)
                    if not count:
                        size = os.fstat(file.fileno()).st_size
                        raise Fatal(
                            f"{self.address(key)}: truncated: {size} bytes, {start + len(target)} were expected"
                        )
                    done += count

    def put(self, key: str, data: Buffer | Path) -> None:
        path = self.path(key)
        with self._named(key, writing=True), self._written(path, data) as temporary:
            os.replace(temporary, path)
            _sync_folder(path.parent)

    def create(self, key: str, data: Buffer) -> bool:
        path = self.path(key)
        with self._named(key, writing=True), self._written(path, data) as temporary:
            won = publish(temporary, path)
            _sync_folder(path.parent)
            return won

    def stat(self, key: str) -> Stat | None:
        with self._named(key):
            try:
                status = self.path(key).stat()
            except (FileNotFoundError, NotADirectoryError):  # here: from 3.12 on contextlib keeps what it re-raises
                return None
        return None if stat.S_ISDIR(status.st_mode) else _stat(key, status)

    def list(self, prefix: str) -> Iterator[Stat]:
        return self.walk(prefix, lambda key, is_folder, is_link: True, lambda reason, key: None)

    def walk(self, prefix: str, wanted: Wanted, pass_over: PassedOver) -> Iterator[Stat]:
        """Regular files whose key starts with `prefix`, sorted by key.

        Links are followed. A folder is read once however many links lead to it, under its own name where that is
        below the root; so links in a circle end.

        Args:
            wanted: is asked before a folder is entered, and of each file.
            pass_over: is told of what is no object: links that lead nowhere, devices, what vanished meanwhile.

        Raises:
            Fatal: a folder cannot be read; names it.
        """
        found: list[str] = []
        waiting, linked = [prefix.rpartition("/")[0]], list[tuple[bytes, str]]()
        seen = set[tuple[int, int]]()
        while waiting or linked:
            folder = waiting.pop() if waiting else heapq.heappop(linked)[1]
            with self._named(folder):
                try:
                    status = self.path(folder).stat()
                    if (status.st_dev, status.st_ino) in seen:
                        pass_over("links to folders that are read already", folder)
                        continue
                    seen.add((status.st_dev, status.st_ino))
                    with os.scandir(self.path(folder)) as entries:
                        for entry in entries:
                            key = f"{folder}/{entry.name}" if folder else entry.name
                            if not key.startswith(prefix) or entry.name.startswith(TEMPORARY):
                                continue
                            kind = self._kind(key, entry)
                            if kind in ("file", "folder"):
                                if not wanted(key, kind == "folder", entry.is_symlink()):
                                    continue
                                if kind == "file":
                                    found.append(key)
                                elif entry.is_symlink():
                                    heapq.heappush(linked, (os.fsencode(key), key))
                                else:
                                    waiting.append(key)
                            else:
                                pass_over(kind, key)
                except (FileNotFoundError, NotADirectoryError):
                    if folder:
                        pass_over("folders that vanished meanwhile", folder)
        found.sort(key=os.fsencode)
        for key in found:
            try:
                with self._named(key):
                    status = self.path(key).stat()
            except Missing:
                pass_over("files that vanished meanwhile", key)
                continue
            yield _stat(key, status)

    def _kind(self, key: str, entry: "os.DirEntry[str]") -> str:
        """`file`, `folder`, or why it is neither."""
        try:
            with self._named(key):
                if entry.is_dir():
                    return "folder"
                if entry.is_file():
                    return "file"
                if entry.is_symlink() and not self.path(key).exists():
                    return "links that lead nowhere"
        except Missing:
            return "files that vanished meanwhile"
        except Fatal:
            if not entry.is_symlink() or _can_be_looked_up(self.path(key)):
                raise
            return "links that lead nowhere"
        return "pipes, sockets and devices"

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            path = self.path(key)
            with suppress(Missing), self._named(key):
                path.unlink()
            with suppress(OSError):  # empty folders are no objects
                for folder in path.parents:
                    if folder == self._root:
                        break
                    folder.rmdir()

    @contextmanager
    def _opened(self, key: str) -> Iterator[BinaryIO]:
        """A regular file, unbuffered; opening a pipe would wait for whoever writes it."""
        descriptor = os.open(self.path(key), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb", buffering=0) as file:
            mode = os.fstat(descriptor).st_mode
            if stat.S_ISDIR(mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            if not stat.S_ISREG(mode):
                raise Fatal(f"{self.address(key)}: a pipe or a device, a file is needed")
            yield file

    @contextmanager
    def _written(self, path: Path, data: Buffer | Path) -> Iterator[Path]:
        """A temporary file beside `path` that holds the data, on the disk."""
        temporary = path.with_name(f"{TEMPORARY}{secrets.token_hex(8)}")
        try:
            for _ in range(10):  # a delete beside us may take the empty folder away
                _make_folder(path.parent)
                with suppress(FileNotFoundError), temporary.open("wb") as file:
                    if isinstance(data, Path):
                        with data.open("rb") as given:
                            copyfileobj(given, file, 1 << 20)
                    else:
                        file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                    break
            yield temporary
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)

    @contextmanager
    def _named(self, key: str, writing: bool = False) -> Iterator[None]:
        """Turn the file system's errors into ones that name the object."""
        try:
            yield
        except OSError as error:
            absent = isinstance(error, FileNotFoundError | IsADirectoryError | NotADirectoryError)
            if absent and not writing:
                raise Missing(f"{self.address(key)}: no such object") from None
            if isinstance(error, FileNotFoundError):
                raise Fatal(f"{self.address(key)}: cannot be written: its folder is gone or cannot be made") from None
            if error.errno in _HOPELESS:
                raise Fatal(f"{self.address(key)}: {_HOPELESS[error.errno]}") from None
            raise


def _stat(key: str, status: os.stat_result) -> Stat:
    return Stat(key, status.st_size, f"{status.st_mtime_ns:x}-{status.st_size:x}", status.st_mtime)


def _can_be_looked_up(path: Path) -> bool:
    """Whether a link's own end is the matter (permission), and not the way there (a circle)."""
    try:
        path.stat()
    except OSError as error:
        return error.errno not in (errno.ELOOP, errno.ENAMETOOLONG)
    return True


def _quoted(text: str) -> str:
    """A path as an address has it: readable, and the same path again when it is opened."""
    return _QUOTED.sub(_percent, os.fsencode(text)).decode()


def _percent(found: re.Match[bytes]) -> bytes:
    try:
        if found[0].decode().isprintable() and not re.search(rb"[%?#]", found[0]):
            return found[0]
    except UnicodeDecodeError:
        pass
    return quote_from_bytes(found[0], safe="").encode()


def _make_folder(folder: Path) -> None:
    """Make a folder and those above it, each on the disk before what it holds."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    with suppress(FileExistsError):
        folder.mkdir()
        _sync_folder(folder.parent)
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))


def _sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk: a file is found after a power loss only then."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except FileNotFoundError:  # a delete beside us has taken it away, with all that was in it
        pass
    except OSError as error:
        if error.errno not in _NO_FSYNC:
            raise

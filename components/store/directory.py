"""file://: a directory as an object store, with the promises of the S3 one."""

import errno
import os
import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import copyfile

from ..failure import Fatal
from .base import Buffer, Missing, Range, Stat, Store

_TEMPORARY = ".unecho-tmp-"
_HOPELESS = {
    errno.ENOSPC: "no space left",
    errno.EDQUOT: "quota used up",
    errno.EROFS: "read-only file system",
    errno.EACCES: "permission denied",
    errno.EPERM: "not permitted",
    errno.ENAMETOOLONG: "name too long",
}


class DirectoryStore(Store):
    """Objects are files; a write is a temporary file and an atomic rename (or link, for `create`)."""

    distant = False

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        self.url = f"file://{self._root}"

    def path(self, key: str) -> Path:
        """The file that holds an object."""
        if key.startswith("/") or ".." in key.split("/"):
            raise Fatal(f"{key}: a key is a relative path without '..'")
        return self._root / key

    def get(self, key: str) -> bytes:
        with self._named(key):
            return self.path(key).read_bytes()

    def read_into(self, key: str, start: int, target: memoryview) -> None:
        self.read_ranges(key, [(start, target)])

    def read_ranges(self, key: str, ranges: Sequence[Range]) -> None:
        with self._named(key), self.path(key).open("rb", buffering=0) as file:
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
        with self._named(key), self._written(key, data) as temporary:
            os.replace(temporary, self.path(key))

    def create(self, key: str, data: Buffer) -> bool:
        with self._named(key), self._written(key, data) as temporary:
            try:
                os.link(temporary, self.path(key))
            except FileExistsError:
                return False
            return True

    def stat(self, key: str) -> Stat | None:
        with self._named(key):
            try:
                return self._stat(key, self.path(key).stat())
            except (
                FileNotFoundError,
                NotADirectoryError,
            ):  # here: from Python 3.12 on contextlib keeps what it re-raises
                return None

    def list(self, prefix: str) -> Iterator[Stat]:
        folder, _, _ = prefix.rpartition("/")
        top = self.path(folder) if folder else self._root
        found = []
        for directory, _, names in os.walk(top, followlinks=True):
            for name in names:
                key = Path(directory, name).relative_to(self._root).as_posix()
                if key.startswith(prefix) and not name.startswith(_TEMPORARY):
                    found.append(key)
        for key in sorted(found, key=os.fsencode):
            with suppress(Missing):  # removed while we were listing
                with self._named(key):
                    status = self.path(key).stat()
                yield self._stat(key, status)

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
    def _written(self, key: str, data: Buffer | Path) -> Iterator[Path]:
        path = self.path(key)
        temporary = path.with_name(f"{_TEMPORARY}{secrets.token_hex(8)}")
        try:
            for _ in range(10):  # a delete beside us may take the empty folder away
                path.parent.mkdir(parents=True, exist_ok=True)
                with suppress(FileNotFoundError):
                    if isinstance(data, Path):
                        copyfile(data, temporary)
                    else:
                        temporary.write_bytes(data)
                    break
            yield temporary
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)

    @contextmanager
    def _named(self, key: str) -> Iterator[None]:
        """Turn the file system's errors into ones that name the object."""
        try:
            yield
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            raise Missing(f"{self.address(key)}: no such object") from None
        except OSError as error:
            if error.errno in _HOPELESS:
                raise Fatal(f"{self.address(key)}: {_HOPELESS[error.errno]}") from None
            raise

    def _stat(self, key: str, status: os.stat_result) -> Stat:
        return Stat(key, status.st_size, f"{status.st_mtime_ns:x}-{status.st_size:x}", status.st_mtime)

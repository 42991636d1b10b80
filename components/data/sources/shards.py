"""Members of a tar archive in a store, found by its headers: what lies between them is not read."""

import io
import os
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ...failure import Fatal
from ...store import Stat, Store
from ..file_kinds import HEAD, kind_of
from .hidden import hidden_part
from .keys import shown

_LEAST_AHEAD, _MOST_AHEAD = 16 << 10, 1 << 20
_MOST_AT_ONCE = 1 << 20
"""Bytes of a header (a long name, PAX fields) or of a text; a damaged size would ask for any number."""
_NEAR = 128 << 10
"""What is skipped of a distant store is read through up to here: a request costs as much time, see store/s3."""
_EMPTY_READS = 8


@dataclass(frozen=True)
class Member:
    """A regular file in an archive.

    Attributes:
        name: with its folders, without `./`.
        start, size: where its bytes are in the archive.
    """

    name: str
    start: int
    size: int


class Shard:
    """A tar archive, plain (not compressed), in bounded memory."""

    def __init__(self, store: Store, stat: Stat, pass_over: Callable[[str, str], None]) -> None:
        """
        Args:
            pass_over: is told a reason and the name of a member that is no file to be read.
        """
        self.key, self.address = stat.key, store.address(stat.key)
        self._file, self._pass_over = _RangeFile(store, stat), pass_over

    def members(self) -> Iterator[Member]:
        """The regular files, in the order of the archive. Nothing is ever written by the name of a member.

        Raises:
            Fatal: it is no tar archive, or is cut off or damaged; names it.
        """
        archive, last, place = self._opened(), "", -1
        while (info := self._next(archive, last)) is not None:
            archive.members = []  # type: ignore[attr-defined]  # else it keeps all of them
            if archive.offset <= place:  # a negative size would lead back
                raise self._damaged(f"its header after {shown(last) or 'the beginning'} leads back")
            last, place = info.name, archive.offset
            if info.isdir():
                continue
            name = info.name.removeprefix("./")
            if reason := _passed_over(info, name):
                self._pass_over(reason, f"{self.key}/{name}")
            else:
                yield Member(name, info.offset_data, info.size)
        if self._file.read_at(archive.offset, tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            ended = archive.offset + tarfile.BLOCKSIZE > self._file.size
            why = "it ends without an end-of-archive mark" if ended else "a header that cannot be read"
            raise self._damaged(f"{why} after {shown(last) or 'the beginning'}")

    def read(self, member: Member) -> bytes:
        """The bytes of a member that holds text.

        Raises:
            Fatal: it is too large for that, or cut off.
        """
        if member.size > _MOST_AT_ONCE:
            raise Fatal(
                f"{self.address}/{shown(member.name)}: {member.size} bytes, at most {_MOST_AT_ONCE} are read of a text"
            )
        data = self._file.read_at(member.start, member.size)
        if len(data) < member.size:
            raise self._damaged(f"it ends in {shown(member.name)}")
        return data

    def _opened(self) -> tarfile.TarFile:
        try:
            return tarfile.TarFile(fileobj=self._file, errors="surrogateescape", encoding="utf-8")
        except (Fatal, OSError, MemoryError):
            raise
        except Exception as error:  # of damaged headers tarfile raises errors of any kind
            kind = kind_of(self._file.read_at(0, HEAD))
            if kind is not None and kind.name != "a tar archive":
                raise Fatal(f"{self.address}: not a tar archive, but {kind}") from None
            raise self._damaged(str(error)) from None

    def _next(self, archive: tarfile.TarFile, last: str) -> tarfile.TarInfo | None:
        try:
            return archive.next()
        except (Fatal, OSError, MemoryError):
            raise
        except Exception as error:
            raise self._damaged(f"{error} after {shown(last) or 'the beginning'}") from None

    def _damaged(self, why: str) -> Fatal:
        return Fatal(f"{self.address}: cut off or damaged: {why}: copy or make it anew")


def _passed_over(info: tarfile.TarInfo, name: str) -> str | None:
    """Why a member is not read."""
    if name.startswith("/") or ".." in name.split("/"):
        return "members with an absolute path or '..'"
    if hidden_part(name) is not None:
        return "hidden or system files"
    if info.islnk() or info.issym():
        return "links in archives"
    if info.issparse():
        return "sparse files in archives"
    return None if info.isreg() else "pipes and devices in archives"


class _RangeFile(io.RawIOBase):
    """An object as a file that is read by ranges: much at once where it is read through, little where it is skipped."""

    def __init__(self, store: Store, stat: Stat) -> None:
        self.size = stat.size
        self._store, self._key = store, stat.key
        self._place, self._held, self._from = 0, b"", 0
        self._ahead, self._empty = _LEAST_AHEAD, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        place = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self.size}[whence]
        if place < 0:
            raise ValueError("a place before the beginning")
        self._place = place
        return place

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _MOST_AT_ONCE:
            raise ValueError(f"a header of {size} bytes")
        data = self.read_at(self._place, size)
        self._empty = 0 if data else self._empty + 1
        if self._empty > _EMPTY_READS:  # tarfile looks for the end of a sparse file's map for ever
            raise EOFError("unexpected end of data")
        self._place += len(data)
        return data

    def read_at(self, start: int, size: int) -> bytes:
        """Bytes from a place on; fewer at the end."""
        size = max(0, min(size, self.size - start))
        until = self._from + len(self._held)
        if size and not self._from <= start <= start + size <= until:
            near = 0 <= start - until <= max(self._ahead, _NEAR if self._store.distant else 0)
            self._ahead = min(2 * self._ahead, _MOST_AHEAD) if near else _LEAST_AHEAD
            held = bytearray(min(max(size, self._ahead), self.size - start))
            self._store.read_into(self._key, start, memoryview(held))
            self._from, self._held = start, bytes(held)
        place = start - self._from
        return self._held[place : place + size] if size else b""

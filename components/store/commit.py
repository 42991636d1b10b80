"""Objects that are named by their content, and reads that believe nothing."""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from ..failure import Fatal
from .base import Buffer, Missing, Store

_READ_AHEAD = 8 << 20

M = TypeVar("M", bound=BaseModel)


class ObjectRef(BaseModel):
    """An immutable object as a manifest names it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    size: int
    """Bytes."""
    sha256: str
    """Hexadecimal."""


def put_object(store: Store, base: str, name: str, data: Buffer | Path) -> ObjectRef:
    """Write an object below `base`, at a key made from its digest.

    Two writers of the same bytes write the same key, two of different bytes different ones, so
    none can spoil what the other has committed.
    """
    size, digest = _size_and_sha256(data)
    ref = ObjectRef(key=f"{base}/{digest[:16]}/{name}", size=size, sha256=digest)
    store.put(ref.key, data)
    return ref


def put_folder(store: Store, base: str, files: Mapping[str, Buffer | Path]) -> dict[str, ObjectRef]:
    """Write files that belong together side by side, in a folder below `base` named by the digest of all."""
    sums = {name: _size_and_sha256(data) for name, data in files.items()}
    folder = hashlib.sha256("".join(f"{name} {sums[name][1]}\n" for name in sorted(files)).encode()).hexdigest()
    refs = {}
    for name, data in files.items():
        size, digest = sums[name]
        refs[name] = ObjectRef(key=f"{base}/{folder[:16]}/{name}", size=size, sha256=digest)
        store.put(refs[name].key, data)
    return refs


def _size_and_sha256(data: Buffer | Path) -> tuple[int, str]:
    if isinstance(data, Path):
        with data.open("rb") as file:
            return data.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()
    return len(data), hashlib.sha256(data).hexdigest()


def find_parsed(store: Store, key: str, kind: type[M]) -> M | None:
    """A committed manifest, or None when there is none of that key.

    Raises:
        Fatal: it is there but does not read as `kind`; names it and the field.
    """
    data = store.find(key)
    return None if data is None else parsed(store, key, data, kind)


def parsed(store: Store, key: str, data: Buffer, kind: type[M]) -> M:
    """A manifest's bytes as `kind`.

    Raises:
        Fatal: they do not read as one; names the object and the field.
    """
    try:
        return kind.model_validate_json(bytes(data))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "JSON"
        raise Fatal(f"{store.address(key)}: altered: {where}: {first['msg']}") from None


def fetch(store: Store, ref: ObjectRef) -> bytes:
    """Read an object whole; size and digest are checked. Wrong bytes are read once more: they may have changed on
    their way.

    Raises:
        Fatal: it is missing, truncated or altered; names the object.
    """
    data = store.get(ref.key)
    if (len(data), hashlib.sha256(data).hexdigest()) != (ref.size, ref.sha256):
        data = store.get(ref.key)
        _check(store, ref, len(data), hashlib.sha256(data).hexdigest())
    return data


def _check(store: Store, ref: ObjectRef, size: int, digest: str) -> None:
    if size != ref.size:
        raise Fatal(f"{store.address(ref.key)}: truncated: {size} bytes, its manifest says {ref.size}")
    if digest != ref.sha256:
        raise Fatal(
            f"{store.address(ref.key)}: altered: SHA-256 {digest[:16]}..., its manifest says {ref.sha256[:16]}..."
        )


def windows(store: Store, key: str) -> Iterator[memoryview]:
    """An object from its first byte to its last in bounded memory, each part valid until the next one.

    Raises:
        Missing: no such object.
        Fatal: it is empty.
    """
    found = store.stat(key)
    if found is None:
        raise Missing(f"{store.address(key)}: no such object")
    if not found.size:
        raise Fatal(f"{store.address(key)}: an empty file")
    window = bytearray(min(found.size, _READ_AHEAD))
    for start in range(0, found.size, _READ_AHEAD):
        part = memoryview(window)[: min(_READ_AHEAD, found.size - start)]
        store.read_into(key, start, part)
        yield part


def object_sha256(store: Store, key: str) -> str:
    """SHA-256 of an object that no manifest names, hexadecimal; raises as `windows` does."""
    digest = hashlib.sha256()
    for window in windows(store, key):
        digest.update(window)
    return digest.hexdigest()


class SequentialReader:
    """Reads an object from its first byte to its last in bounded memory; `finish` checks the digest."""

    def __init__(self, store: Store, ref: ObjectRef, read_ahead: int = _READ_AHEAD) -> None:
        """
        Args:
            read_ahead: bytes asked of the store at once.
        """
        self._store, self._ref, self._read_ahead = store, ref, read_ahead
        self._hash = hashlib.sha256()
        self._buffer = memoryview(b"")
        self._asked = 0

    @property
    def address(self) -> str:
        """The object's full address, for messages."""
        return self._store.address(self._ref.key)

    @classmethod
    def open(cls, store: Store, ref: ObjectRef, read_ahead: int = _READ_AHEAD) -> Self:
        """A reader of an object that has the size its manifest says.

        Raises:
            Fatal: it is missing or truncated; names the object.
        """
        stat = store.stat(ref.key)
        if stat is None:
            raise Fatal(f"{store.address(ref.key)}: missing, though its manifest names it")
        if stat.size != ref.size:
            raise Fatal(f"{store.address(ref.key)}: truncated: {stat.size} bytes, its manifest says {ref.size}")
        return cls(store, ref, read_ahead)

    def read(self, count: int) -> memoryview:
        """The next `count` bytes; they stay as they are when more is read."""
        if count <= len(self._buffer):
            taken, self._buffer = self._buffer[:count], self._buffer[count:]
            return taken
        kept = len(self._buffer)
        fresh = max(count - kept, min(self._read_ahead, self._ref.size - self._asked))
        if self._asked + fresh > self._ref.size:
            raise Fatal(f"{self._store.address(self._ref.key)}: altered: it asks for more bytes than it has")
        buffer = bytearray(kept + fresh)
        buffer[:kept] = self._buffer
        view = memoryview(buffer)
        self._store.read_into(self._ref.key, self._asked, view[kept:])
        self._hash.update(view[kept:])
        self._asked += fresh
        taken, self._buffer = view[:count], view[count:]
        return taken

    def finish(self) -> None:
        """Read what is left and check the digest of all.

        Raises:
            Fatal: the object is altered; names it.
        """
        while left := self._ref.size - self._asked + len(self._buffer):
            self.read(min(left, self._read_ahead))
        _check(self._store, self._ref, self._asked, self._hash.hexdigest())

"""What every store can do. Keys are relative paths with `/`; values are bytes."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..failure import Fatal

Buffer = bytes | bytearray | memoryview
Range = tuple[int, memoryview]
"""Offset in an object, and the buffer to fill from there."""


class Missing(Fatal):
    """An object that was asked for by its key is not there."""


@dataclass(frozen=True)
class Stat:
    """What a store says about an object without reading it.

    Attributes:
        key: relative to the store's root.
        size: bytes.
        etag: the server's tag; differs between servers for the same bytes, so good only for
            "has this source object changed on this server".
        modified: seconds since the epoch.
    """

    key: str
    size: int
    etag: str
    modified: float


class Store(ABC):
    """Objects below one root.

    A write is atomic: a reader sees all of it or none. Failures that another try may cure are
    tried again inside; what comes out is `Fatal` (naming the object), or an `OSError` when the
    store stayed out of reach.
    """

    url: str
    """`file:///dir` or `s3://bucket/prefix`, without a slash at the end and without credentials."""
    distant: bool = True
    """Whether a request waits for a network, so that several at once are faster than one after another."""

    @abstractmethod
    def get(self, key: str) -> bytes:
        """The whole object. Raises `Missing`."""

    @abstractmethod
    def read_into(self, key: str, start: int, target: memoryview) -> None:
        """Fill `target` (bytes, writable) from offset `start`.

        Raises:
            Missing: no such object.
            Fatal: the object ends before `start + len(target)`.
        """

    @abstractmethod
    def put(self, key: str, data: Buffer | Path) -> None:
        """Write an object, from memory or from a file; an object of that key is replaced."""

    @abstractmethod
    def create(self, key: str, data: Buffer) -> bool:
        """Write an object only if there is none of that key: True for the one writer that won."""

    @abstractmethod
    def stat(self, key: str) -> Stat | None:
        """Size and tag, or None when there is no such object."""

    @abstractmethod
    def list(self, prefix: str) -> Iterator[Stat]:
        """Objects whose key starts with `prefix`, sorted by key (UTF-8 bytes). Never on a hot path."""

    @abstractmethod
    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects; one that is not there is no error."""

    def read_ranges(self, key: str, ranges: Sequence[Range]) -> None:
        """Fill each target (bytes, writable) from its offset in one object; in what order is the store's choice.

        Raises:
            Missing: no such object.
            Fatal: the object ends before one of the ranges does.
        """
        for start, target in ranges:
            self.read_into(key, start, target)

    def find(self, key: str) -> bytes | None:
        """The whole object, or None when there is none of that key."""
        try:
            return self.get(key)
        except Missing:
            return None

    def address(self, key: str) -> str:
        """The object's full address, for messages."""
        return f"{self.url}/{key}"

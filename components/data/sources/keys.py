"""Millions of sorted keys in one piece of memory, without a Python object each."""

from array import array


class Keys:
    """Keys, numbered from 0; they are found where they are in ascending order of their UTF-8 bytes."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._ends = array("q", [0])

    def append(self, key: str) -> None:
        """Add a key; to be found, it has to sort after all before it."""
        self._bytes += _encode(key)
        self._ends.append(len(self._bytes))

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, item: int) -> str:
        return self._raw(item).decode("utf-8", "surrogateescape")

    def shown(self, item: int) -> str:
        """The key for people and JSON."""
        return self._raw(item).decode("utf-8", "backslashreplace")

    def find(self, key: str) -> int | None:
        """Number of a key, or None."""
        wanted, low, high = _encode(key), 0, len(self)
        while low < high:
            middle = (low + high) // 2
            if self._raw(middle) < wanted:
                low = middle + 1
            else:
                high = middle
        return low if low < len(self) and self._raw(low) == wanted else None

    def _raw(self, item: int) -> bytes:
        return bytes(self._bytes[self._ends[item] : self._ends[item + 1]])


def shown(key: str) -> str:
    """A key for people and JSON: bytes that are not UTF-8 are written as \\xNN."""
    return _encode(key).decode("utf-8", "backslashreplace")


def _encode(key: str) -> bytes:
    return key.encode("utf-8", "surrogateescape")

"""Where the fragments of an object are in its file of the read cache.

A file holds fragments of one object and only grows: 16 bytes that name the format and this file, then batches of

    head (32 bytes) | table: start, length, CRC-32 of each fragment | the fragments' bytes

A reader believes a batch's head and table by their CRC-32, and a fragment by its own.
"""

import os
import struct
import zlib
from array import array
from bisect import bisect_right

FORMAT = b"unechof1"
NAME_SIZE = 16
HEAD = struct.Struct("<qQIIQ")
"""Size of the object or -1, bytes of the fragments, their number, CRC-32 of head and table, bytes of the table."""
ENTRY = struct.Struct("<QII")


class FragmentIndex:
    """Where the fragments of one object are in its file: none inside another, in order of their start.

    Attributes:
        file_name: random bytes at the file's start.
        end: bytes of the file that are understood.
        size: of the object, if known.
    """

    def __init__(self, file_name: bytes) -> None:
        self.file_name, self.end, self.size = file_name, NAME_SIZE, None
        # Arrays: 24 bytes a fragment, and a shard may have a million rows.
        self._starts, self._offsets = array("Q"), array("Q")
        self._lengths, self._checks = array("I"), array("I")

    def at(self, position: int) -> tuple[int, int, int, int]:
        """Start, stop, offset in the file (-1: a hole up to the next fragment) and CRC-32 of what holds a byte."""
        after = bisect_right(self._starts, position)
        if after:
            start = self._starts[after - 1]
            if position < (stop := start + self._lengths[after - 1]):
                return start, stop, self._offsets[after - 1], self._checks[after - 1]
        stop = self._starts[after] if after < len(self._starts) else 1 << 63
        return position, stop, -1, 0

    def extend(self, descriptor: int) -> None:
        """Take in the batches behind `end`."""
        size = os.fstat(descriptor).st_size
        while self.end + HEAD.size <= size:
            head = os.pread(descriptor, HEAD.size, self.end)
            if len(head) < HEAD.size:
                return
            object_size, payload, count, check, table_size = HEAD.unpack(head)
            offset = self.end + HEAD.size + table_size
            if table_size != count * ENTRY.size or offset + payload > size:
                return
            table = os.pread(descriptor, table_size, self.end + HEAD.size)
            unchecked = HEAD.pack(object_size, payload, count, 0, table_size)
            if len(table) != table_size or zlib.crc32(table, zlib.crc32(unchecked)) != check:
                return
            for start, length, fragment_check in ENTRY.iter_unpack(table):
                self._insert(start, length, offset, fragment_check)
                offset += length
            if object_size >= 0:
                self.size = object_size
            self.end = offset

    def _insert(self, start: int, length: int, offset: int, check: int) -> None:
        at = bisect_right(self._starts, start)
        if at and self._starts[at - 1] + self._lengths[at - 1] >= start + length:
            return
        low = at - 1 if at and self._starts[at - 1] == start else at
        high = at
        while high < len(self._starts) and self._starts[high] + self._lengths[high] <= start + length:
            high += 1
        self._starts[low:high] = array("Q", [start])
        self._offsets[low:high] = array("Q", [offset])
        self._lengths[low:high] = array("I", [length])
        self._checks[low:high] = array("I", [check])

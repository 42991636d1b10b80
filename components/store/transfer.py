"""How a transfer is cut into requests: parts of a large object, near ranges as one."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

READ_PART = 8 << 20
"""Most bytes of one ranged read."""
WRITE_PART = 16 << 20
"""Bytes of a part of a multipart upload, more where an object would have too many parts."""
MOST_PARTS = 10_000
"""S3's limit."""
NEAR = 128 << 10
"""Ranges that are at most so many bytes apart are read as one. A request costs about as much time as
this many bytes: 1 ms of a loopback server's, some 10 ms in 16 threads of a distant one's."""

Range = tuple[int, memoryview]
"""Offset in the object, and the buffer to fill from there."""


@dataclass(frozen=True)
class Span:
    """One ranged read.

    Attributes:
        start, stop: bytes of the object.
        pieces: the ranges in it, in order, not overlapping; what lies between them is dropped.
    """

    start: int
    stop: int
    pieces: list[Range]


def spans(ranges: Sequence[Range], near: int = NEAR, longest: int = READ_PART) -> Iterator[Span]:
    """Join ranges that are near each other and cut long ones. Overlapping ranges stay apart."""
    pieces: list[Range] = []
    start = stop = 0
    for offset, target in sorted(ranges, key=lambda piece: piece[0]):
        for at in range(0, len(target), longest):
            first, part = offset + at, target[at : at + longest]
            if pieces and not (0 <= first - stop <= near and first + len(part) - start <= longest):
                yield Span(start, stop, pieces)
                pieces = []
            if not pieces:
                start = first
            pieces.append((first, part))
            stop = first + len(part)
    if pieces:
        yield Span(start, stop, pieces)


def scatter(data: memoryview, position: int, pieces: Sequence[Range], first: int) -> int:
    """Copy bytes of an object into the pieces that they belong to.

    Args:
        data: the object's bytes from `position` on.
        first: the pieces before this one are full.

    Returns:
        The first piece that is not full yet.
    """
    end = position + len(data)
    while first < len(pieces):
        offset, target = pieces[first]
        stop = offset + len(target)
        low, high = max(offset, position), min(stop, end)
        if low < high:
            target[low - offset : high - offset] = data[low - position : high - position]
        if stop > end:
            break
        first += 1
    return first


def part_size(size: int) -> int:
    """Bytes of each part of an upload of `size` bytes."""
    least = -(-size // MOST_PARTS)
    return max(WRITE_PART, -(-least // (1 << 20)) << 20)

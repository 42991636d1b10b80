"""Objects into a bucket and out of it: in parts, side by side, straight from and into the caller's buffers."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from threading import Event
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from urllib3.exceptions import HTTPError, ProtocolError
from urllib3.response import BaseHTTPResponse

from ...failure import Fatal
from ..base import Buffer, Range
from .bucket import Bucket, UploadLost
from .connection import Abandoned, Unreachable
from .refusal import Refusal

READ_PART = 8 << 20
"""Most bytes of one ranged read."""
WRITE_PART = 16 << 20
"""Bytes of a part of a multipart upload, more where an object would have too many parts."""
MOST_PARTS = 10_000
"""S3's limit."""
NEAR = 128 << 10
"""Ranges that are at most so many bytes apart are read as one. A request costs about as much time as
this many bytes: 1 ms of a loopback server's, some 10 ms in 16 threads of a distant one's."""


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


_BLOCK = 256 << 10
"""Bytes taken from a connection at once."""


def download(bucket: Bucket, key: str) -> bytes:
    """A whole object: one request for a small one, more side by side for a large one.

    Raises:
        Missing: no such object.
    """
    buffer, done = bucket.attempt(partial(_begin, bucket, key), "GetObject", key)
    with buffer.getbuffer() as whole:
        if done < len(whole):
            download_ranges(bucket, key, [(done, whole[done:])])
    return buffer.getvalue()  # the buffer's own bytes, not a copy


def download_ranges(bucket: Bucket, key: str, ranges: Sequence[Range]) -> None:
    """Fill buffers from an object.

    Raises:
        Missing: no such object.
        Fatal: the object ends before one of the ranges does.
    """
    bucket.together([partial(_read, bucket, key, span) for span in spans(ranges)], bucket.endpoint.connections)


def _begin(bucket: Bucket, key: str) -> tuple[BytesIO, int]:
    """A buffer of an object's size, and how many bytes of it this one answer has filled."""
    with bucket.answer(key) as answer:
        length = answer.headers.get("Content-Length", "")
        if not length.isdigit():
            raise ProtocolError("an answer without its length")
        buffer = BytesIO(bytes(int(length)))
        with buffer.getbuffer() as whole:
            first = whole[:READ_PART]
            return buffer, _pour(answer, Span(0, len(first), [(0, first)]), 0, Event())


def _read(bucket: Bucket, key: str, span: Span, abandoned: Event) -> None:
    position = span.start
    while position < span.stop:  # a cut answer is gone on with, not begun anew
        position = bucket.attempt(
            partial(_read_on, bucket, key, span, position, abandoned), "GetObject", key, abandoned
        )


def _read_on(bucket: Bucket, key: str, span: Span, position: int, abandoned: Event) -> int:
    """Read on from `position`; returns how far one answer went."""
    try:
        with bucket.answer(key, position, span.stop - position) as answer:
            total = answer.headers.get("Content-Range", "").rpartition("/")[2]
            if total.isdigit() and int(total) < span.stop:
                raise _truncated(bucket, key, int(total), span.stop)
            if answer.status != 206 and position > 0:
                raise Fatal(f"{bucket.endpoint.url}: the server cannot read ranges of objects: use another S3 server")
            return _pour(answer, span, position, abandoned)
    except Refusal as refusal:
        if refusal.status != 416:  # the range begins behind the object's end
            raise
    size = bucket.client.stat_object(bucket.name, bucket.object_name(key)).size
    raise _truncated(bucket, key, size or 0, span.stop)


def _pour(answer: BaseHTTPResponse, span: Span, position: int, abandoned: Event) -> int:
    """Fill a span's pieces from an answer that begins at `position`; returns how far it went before it was cut."""
    begun, piece = position, 0
    try:
        while position < span.stop:
            if abandoned.is_set():
                raise Abandoned
            data = answer.read(min(_BLOCK, span.stop - position), decode_content=False)
            if not data:
                raise ProtocolError("short body")
            piece = scatter(memoryview(data), position, span.pieces, piece)
            position += len(data)
    except (HTTPError, OSError):
        if position == begun:
            raise
    return position


def _truncated(bucket: Bucket, key: str, size: int, stop: int) -> Fatal:
    return Fatal(f"{bucket.address(key)}: truncated: {size} bytes, {stop} were expected")


_AT_ONCE = 4
"""Parts under way: with their size, the memory of an upload from a file."""
_UPLOAD_TRIES = 3


def upload(bucket: Bucket, key: str, data: Buffer | Path) -> None:
    """Write an object; from memory without a copy, from a file a few parts at a time."""
    if isinstance(data, Path):
        with data.open("rb") as file:
            _upload(bucket, key, os.fstat(file.fileno()).st_size, partial(_part_of_file, data, file.fileno()))
    else:
        with memoryview(data) as view, view.cast("B") as flat:
            _upload(bucket, key, len(flat), lambda start, stop: flat[start:stop])


def create(bucket: Bucket, key: str, data: Buffer, *, adopt: bool = True) -> bool:
    """Write an object if there is none.

    Args:
        adopt: whether an object that stands there with these very bytes after a try whose answer was
            lost counts as our own.

    Returns:
        Whether it was written.
    """
    tries = 0

    def attempt() -> bool:
        nonlocal tries
        tries += 1
        try:
            bucket.send("PUT", key, data, headers={"If-None-Match": "*"})
        except Refusal as refusal:
            if refusal.status != 412:
                raise
            return adopt and tries > 1 and download(bucket, key) == data
        return True

    return bucket.attempt(attempt, "PutObject", key)


def _upload(bucket: Bucket, key: str, size: int, read: Callable[[int, int], Buffer]) -> None:
    if size <= WRITE_PART:
        bucket.put(key, read(0, size))
        return
    for _ in range(_UPLOAD_TRIES):
        with suppress(UploadLost):
            _upload_parts(bucket, key, size, read)
            return
    raise Unreachable(f"{bucket.address(key)}: the server lost the multipart upload {_UPLOAD_TRIES} times: start again")


def _upload_parts(bucket: Bucket, key: str, size: int, read: Callable[[int, int], Buffer]) -> None:
    step = part_size(size)
    begun = bucket.attempt(partial(bucket.send, "POST", key, b"", {"uploads": ""}), "PutObject", key)
    upload = {"uploadId": _element(begun.data, "UploadId")}

    def send_part(number: int, abandoned: Event) -> str:
        start = (number - 1) * step
        data = read(start, min(start + step, size))
        answer = bucket.put(key, data, {**upload, "partNumber": str(number)}, abandoned)
        return f"<Part><PartNumber>{number}</PartNumber><ETag>{escape(answer.headers['ETag'])}</ETag></Part>"

    try:
        parts = bucket.together([partial(send_part, number) for number in range(1, -(-size // step) + 1)], _AT_ONCE)
        body = f"<CompleteMultipartUpload>{''.join(parts)}</CompleteMultipartUpload>".encode()
        bucket.attempt(partial(bucket.send, "POST", key, body, upload), "PutObject", key)
    except Exception as error:
        if not isinstance(error, Unreachable):
            with suppress(Exception):  # one try: parts that stay are harmless, and a life-cycle rule's business
                bucket.send("DELETE", key, b"", upload)
        raise


def _part_of_file(path: Path, descriptor: int, start: int, stop: int) -> bytes:
    data = os.pread(descriptor, stop - start, start)
    if len(data) != stop - start:
        raise Fatal(f"{path}: it became shorter while it was uploaded")
    return data


def _element(body: bytes, name: str) -> str:
    found = ElementTree.fromstring(body).find(f"{{*}}{name}")
    if found is None or not found.text:
        raise ElementTree.ParseError(f"an answer without {name}")
    return found.text

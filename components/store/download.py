"""Objects of a bucket into memory: parallel ranged reads, straight into the caller's buffers."""

from collections.abc import Sequence
from functools import partial
from io import BytesIO
from threading import Event

from urllib3.exceptions import HTTPError, ProtocolError
from urllib3.response import BaseHTTPResponse

from unecho.components.failure import Fatal
from unecho.components.store.bucket import Bucket
from unecho.components.store.refusal import Refusal
from unecho.components.store.retry import Abandoned
from unecho.components.store.transfer import READ_PART, Range, Span, scatter, spans

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

"""Bytes into a bucket: whole, in parts, or only where there is nothing yet."""

import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Event
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from unecho.components.failure import Fatal
from unecho.components.store.base import Buffer
from unecho.components.store.bucket import Bucket, UploadLost
from unecho.components.store.download import download
from unecho.components.store.refusal import Refusal
from unecho.components.store.retry import Unreachable
from unecho.components.store.transfer import WRITE_PART, part_size

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

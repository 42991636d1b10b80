"""s3://: a bucket as an object store, through the minio client."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice, pairwise
from pathlib import Path

from minio.datatypes import Object
from minio.deleteobjects import DeleteObject

from ...failure import Fatal
from ..base import Buffer, Missing, Range, Stat, Store
from .bucket import Bucket
from .refusal import Refusal, is_transient
from .transfer import create, download, download_ranges, upload

_DELETE_BATCH = 1000


class S3Store(Store):
    """Objects below a prefix of a bucket.

    Threads may share it, a forked process may go on with it, and a pickled one takes its credentials
    from the environment where it is unpickled.
    """

    def __init__(self, bucket: str, prefix: str = "") -> None:
        """Endpoint, credentials and settings come from the environment (`Endpoint`, `credentials`).

        Raises:
            Fatal: a name that S3 does not allow, a prefix with '.' or '..', or with '//' at its end, no credentials, or
                a setting that cannot be used.
        """
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]", bucket):
            raise Fatal(f"s3://{bucket}: no name of a bucket: use 3 to 63 lower-case letters, digits, dots and dashes")
        if not {".", ".."}.isdisjoint(prefix.split("/")):
            raise Fatal(f"s3://{bucket}/{prefix}: an address has no part '.' or '..'")
        if f"/{prefix}".endswith("//"):
            raise Fatal(
                f"s3://{bucket}/{prefix}: an address ends in one '/' at most; without, it has all that stands "
                "below it, keys with an empty part (//) too"
            )
        self._location = bucket, prefix.removesuffix("/")
        self._bucket = Bucket(*self._location)
        self.url = self._bucket.url
        self._create_is_exclusive = False

    def __reduce__(self) -> tuple[type["S3Store"], tuple[str, str]]:
        return S3Store, self._location

    def __repr__(self) -> str:
        return f"S3Store({self.url!r})"

    def get(self, key: str) -> bytes:
        return download(self._bucket, key)

    def read_into(self, key: str, start: int, target: memoryview) -> None:
        self.read_ranges(key, [(start, target)])

    def read_ranges(self, key: str, ranges: Sequence[Range]) -> None:
        if not any(len(target) for _, target in ranges):
            if self.stat(key) is None:
                raise Missing(f"{self.address(key)}: no such object")
            return
        download_ranges(self._bucket, key, ranges)

    def put(self, key: str, data: Buffer | Path) -> None:
        upload(self._bucket, key, data)

    def create(self, key: str, data: Buffer) -> bool:
        won = create(self._bucket, key, data)
        if won and not self._create_is_exclusive:
            # Once a process: a server that does not know If-None-Match lets the last writer win, without a word.
            if create(self._bucket, key, data, adopt=False):
                raise Fatal(
                    f"{self._bucket.endpoint.url}: the server ignores If-None-Match, so that two pods could overwrite "
                    "each other's results: use a newer S3 server"
                )
            self._create_is_exclusive = True
        return won

    def stat(self, key: str) -> Stat | None:
        try:
            return self._bucket.attempt(partial(self._stat, key), "GetObject", key)
        except Missing:
            return None

    def _stat(self, key: str) -> Stat:
        try:
            found = self._bucket.client.stat_object(self._bucket.name, self._bucket.object_name(key))
        except Refusal as refusal:
            if is_transient(refusal):
                raise
            with self._bucket.answer(key, 0, 1):  # an answer to HEAD has no body that says why; this one has
                raise refusal from None
        return stat_of(key, found)

    def list(self, prefix: str) -> Iterator[Stat]:
        return listing(self._bucket, prefix)

    def address(self, key: str) -> str:
        return self._bucket.address(key)

    def delete(self, keys: Iterable[str]) -> None:
        names = (self._bucket.own_name(key) for key in keys)
        while batch := set(islice(names, _DELETE_BATCH)):
            first = self._bucket.key(min(batch)) + (f" and {len(batch) - 1} more" if len(batch) > 1 else "")
            self._bucket.attempt(partial(self._delete, batch), "DeleteObject", first)

    def _delete(self, names: set[str]) -> None:
        errors = self._bucket.client.remove_objects(self._bucket.name, [DeleteObject(name) for name in sorted(names)])
        for error in list(errors):
            if error.code not in ("NoSuchKey", "NoSuchVersion"):
                status = {"AccessDenied": 403, "MethodNotAllowed": 405}.get(error.code, 500)
                raise Refusal(status, error.code, " ".join((error.message or "").split()), "", 0.0)


_PAGE = 1000
_HELD = 20_000


def listing(bucket: Bucket, prefix: str) -> Iterator[Stat]:
    """Objects whose key starts with `prefix`, sorted by key (UTF-8 bytes).

    AWS and MinIO list in that order. SeaweedFS, and servers on a file system, go folder by folder:
    `a/b` before `a.txt`. So a listing of up to 20,000 objects is sorted here; a longer one is looked
    through first, and held in memory (some 250 bytes an object) only when it is out of order.
    """
    held = list(islice(_in_order_of_server(bucket, prefix), _HELD))
    if len(held) == _HELD:
        held.clear()
        if _is_sorted(_in_order_of_server(bucket, prefix)):
            yield from _in_order_of_server(bucket, prefix)
            return
        held.extend(_in_order_of_server(bucket, prefix))
    yield from sorted(held, key=_order)


def stat_of(key: str, found: Object) -> Stat:
    """minio's description of an object as ours."""
    modified = found.last_modified.timestamp() if found.last_modified else 0.0
    return Stat(key, found.size or 0, (found.etag or "").strip('"'), modified)


def _in_order_of_server(bucket: Bucket, prefix: str) -> Iterator[Stat]:
    last: str | None = None
    pages = _pages(bucket, prefix, last)

    def next_page() -> list[Stat]:
        nonlocal pages
        try:
            return next(pages, [])
        except Exception:
            pages = _pages(bucket, prefix, last)  # a generator that has failed is at its end
            raise

    while page := bucket.attempt(next_page, "ListBucket", prefix):
        last = page[-1].key
        for stat in page:
            if stat.size or not stat.key.endswith("/"):  # consoles make empty objects for folders
                yield replace(stat, key=bucket.key(stat.key, prefix))


def _pages(bucket: Bucket, prefix: str, after: str | None) -> Iterator[list[Stat]]:
    found = bucket.client.list_objects(bucket.name, bucket.object_name(prefix), recursive=True, start_after=after)
    while page := [stat_of(entry.object_name or "", entry) for entry in islice(found, _PAGE)]:
        yield page


def _is_sorted(stats: Iterator[Stat]) -> bool:
    return all(_order(one) < _order(two) for one, two in pairwise(stats))


def _order(stat: Stat) -> bytes:
    return stat.key.encode()

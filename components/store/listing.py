"""What a bucket holds, in order, page by page."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice, pairwise

from minio.datatypes import Object

from unecho.components.store.base import Stat
from unecho.components.store.bucket import Bucket

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
            if not stat.key.endswith("/"):  # consoles make such objects for folders
                yield replace(stat, key=bucket.key(stat.key))


def _pages(bucket: Bucket, prefix: str, after: str | None) -> Iterator[list[Stat]]:
    found = bucket.client.list_objects(bucket.name, bucket.object_name(prefix), recursive=True, start_after=after)
    while page := [stat_of(entry.object_name or "", entry) for entry in islice(found, _PAGE)]:
        yield page


def _is_sorted(stats: Iterator[Stat]) -> bool:
    return all(_order(one) < _order(two) for one, two in pairwise(stats))


def _order(stat: Stat) -> bytes:
    return stat.key.encode()

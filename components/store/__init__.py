"""The object store: bytes, digests and commits, on a directory or an S3 bucket."""

from components.store.base import Missing, Stat, Store
from components.store.cache import CachedStore
from components.store.commit import ObjectRef, SequentialReader, fetch, find_parsed, parsed, put_folder, put_object
from components.store.opening import open_store

__all__ = [
    "CachedStore",
    "Missing",
    "ObjectRef",
    "SequentialReader",
    "Stat",
    "Store",
    "fetch",
    "find_parsed",
    "open_store",
    "parsed",
    "put_folder",
    "put_object",
]

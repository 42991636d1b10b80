"""The object store: bytes, digests and commits, on a directory or an S3 bucket."""

from .base import Missing, Stat, Store
from .commit import (
    ObjectRef,
    SequentialReader,
    fetch,
    find_parsed,
    object_sha256,
    parsed,
    put_folder,
    put_object,
    windows,
)
from .open import local_path, locate_object, open_store, read_object

__all__ = [
    "Missing",
    "ObjectRef",
    "SequentialReader",
    "Stat",
    "Store",
    "fetch",
    "find_parsed",
    "local_path",
    "locate_object",
    "object_sha256",
    "open_store",
    "parsed",
    "put_folder",
    "put_object",
    "read_object",
    "windows",
]

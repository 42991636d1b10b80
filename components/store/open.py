"""From an address to a store."""

import os
import re
from pathlib import Path
from urllib.parse import unquote_to_bytes

from ..failure import Fatal
from .base import Store
from .directory import DirectoryStore


def open_store(url: str) -> Store:
    """Open a store by its root: a directory, file:///directory or s3://bucket/prefix.

    A directory is taken as it is, but for `~`; in file:///directory any byte may be written as %NN.

    Raises:
        Fatal: another scheme, or a bucket without a name.
    """
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", url)
    if not scheme:
        return DirectoryStore(local_path(url))
    if scheme[1].lower() == "file":
        host, slash, path = url[scheme.end() :].partition("/")
        if host not in ("", "localhost"):
            raise Fatal(f"{url}: file:// takes an absolute path: file:///{host}{slash}{path}")
        return DirectoryStore(Path(os.fsdecode(unquote_to_bytes(os.fsencode(f"/{path}")))))
    if scheme[1].lower() == "s3":
        return _open_s3(url)
    raise Fatal(f"{url}: a root is a directory, file:///directory or s3://bucket/prefix")


def local_path(text: str) -> Path:
    """A path as a user writes it.

    Raises:
        Fatal: it begins with the `~` of somebody who is not known here.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise Fatal(f"{text}: no home directory of that name: write the whole path") from None


def locate_object(address: str) -> tuple[Store, str]:
    """Store and key of one object by its whole address, a path or s3://bucket/key."""
    if address.startswith("s3://"):  # every '/' after the bucket's is part of the key
        bucket, _, key = address.removeprefix("s3://").partition("/")
        return _open_s3(f"s3://{bucket}"), key
    store = open_store(address)
    assert isinstance(store, DirectoryStore)
    path = store.path("")
    return DirectoryStore(path.parent), path.name


def read_object(address: str) -> bytes | None:
    """One object by its whole address, a path or s3://bucket/key; None where there is none."""
    store, key = locate_object(address)
    return store.find(key)


def _open_s3(url: str) -> Store:
    from .s3.store import S3Store  # so that a run on a directory imports no S3 client

    bucket, _, prefix = url[len("s3://") :].partition("/")
    if "@" in bucket:  # not echoed: what stands before it is a secret
        raise Fatal("s3://...@...: credentials are taken from the environment, never from an address")
    if "?" in url or "#" in url:
        raise Fatal(f"{url}: an address has no options: endpoint and credentials come from the environment")
    return S3Store(bucket, prefix)

"""From an address to a store."""

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ..failure import Fatal
from .base import Store
from .directory import DirectoryStore


def open_store(url: str) -> Store:
    """Open a store by its root: a directory, file:///directory or s3://bucket/prefix.

    Raises:
        Fatal: another scheme, or a bucket without a name.
    """
    if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", url):
        return DirectoryStore(Path(url).expanduser())
    parts = urlsplit(url)
    if parts.scheme == "file":
        if parts.netloc not in ("", "localhost"):
            raise Fatal(f"{url}: file:// takes an absolute path: file:///{parts.netloc}{parts.path}")
        return DirectoryStore(Path(unquote(parts.path)))
    if parts.scheme == "s3":
        return _open_s3(url)
    raise Fatal(f"{url}: a root is a directory, file:///directory or s3://bucket/prefix")


def read_object(address: str) -> bytes | None:
    """One object by its whole address, a path or s3://bucket/key; None where there is none."""
    if address.startswith("s3://"):  # every '/' after the bucket's is part of the key
        bucket, _, name = address.removeprefix("s3://").partition("/")
        return _open_s3(f"s3://{bucket}").find(name)
    folder, slash, name = address.rpartition("/")
    return open_store(folder or (slash or ".")).find(name)


def _open_s3(url: str) -> Store:
    from .s3.store import S3Store  # so that a run on a directory imports no S3 client

    bucket, _, prefix = url[len("s3://") :].partition("/")
    if "@" in bucket:  # not echoed: what stands before it is a secret
        raise Fatal("s3://...@...: credentials are taken from the environment, never from an address")
    if "?" in url or "#" in url:
        raise Fatal(f"{url}: an address has no options: endpoint and credentials come from the environment")
    return S3Store(bucket, prefix)

"""From an address to a store."""

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from components.failure import Fatal
from components.store.base import Store
from components.store.directory import DirectoryStore


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
    raise Fatal(f"{url}: a root is a directory, file:///directory or s3://bucket/prefix")

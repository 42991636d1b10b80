"""Files of a folder that somebody gave: by digest, and on this machine."""

import hashlib
import os
import secrets
import tempfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

from ..config import RunConfig
from ..store import Store, object_sha256, windows
from ..store.directory import DirectoryStore


def cache_folder(config: RunConfig) -> Path:
    """Where copies of files are kept on this machine."""
    keep = config.execution.cache_dir
    return Path(keep).expanduser() if keep else Path(tempfile.gettempdir()) / f"unecho-{os.getuid()}"


def fetch_file(store: Store, path: str, target: Path, check: Callable[[Path], None] = lambda part: None) -> None:
    """Copy an object to a file, which is there whole or not at all.

    Args:
        check: is given the copy before it takes its place, and raises where it is not the right one.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        with part.open("wb") as file:
            for window in windows(store, path):
                file.write(window)
        check(part)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def whole_digest(digests: Mapping[str, str]) -> str:
    """One digest of all files.

    Args:
        digests: SHA-256 by path.
    """
    return hashlib.sha256("".join(f"{path} {sha}\n" for path, sha in digests.items()).encode()).hexdigest()


def file_digest(store: Store, key: str) -> str:
    """As `object_sha256`; a file that this process has read is read again only if it has changed."""
    path = store.path(key) if isinstance(store, DirectoryStore) else None
    return sha256_of(path) if path and path.is_file() and path.stat().st_size else object_sha256(store, key)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file on this machine."""
    found = path.stat()
    return _sha256_of_file(path, found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


@cache
def _sha256_of_file(path: Path, *_state: int) -> str:
    """For the steps of a run in one process: hashing a UNet takes longer than an update of it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

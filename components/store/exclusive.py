"""Giving a finished file its name only where nothing has that name, on file systems of every kind."""

import ctypes
import errno
import hashlib
import os
import secrets
import time
from contextlib import suppress
from pathlib import Path

TEMPORARY = ".unecho-tmp-"
"""What names of files begin with that are no objects."""
_AT_FDCWD, _RENAME_NOREPLACE = -100, 1
_STALE_S = 30.0
"""A lock is held for milliseconds; one as old as this was left by a process that was killed."""
_LOOK_EVERY_S = 0.02


def publish(temporary: Path, path: Path) -> bool:
    """Give a whole file its name, unless something has that name: readers see all of it or nothing.

    A hard link does it. Where there are none (exFAT, SMB, many file systems in user space) Linux' own rename that
    replaces nothing does; and where there is none either, a lock file that only one process can make.

    Args:
        temporary: written to its end, in the folder of `path`. It may be gone afterwards.

    Returns:
        True for the one who won.

    Raises:
        OSError: neither way works.
    """
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    except FileNotFoundError:
        raise
    except OSError:
        # EPERM, EOPNOTSUPP, ENOSYS, EMLINK, EACCES, EINVAL, ...: file systems do not agree on how to say it
        renamed = _rename_noreplace(temporary, path)
        return _rename_under_lock(temporary, path) if renamed is None else renamed
    return True


def _rename_noreplace(temporary: Path, path: Path) -> bool | None:
    """renameat2(2); None where system, C library or file system do not have it."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return None
    if rename(_AT_FDCWD, os.fsencode(temporary), _AT_FDCWD, os.fsencode(path), _RENAME_NOREPLACE) == 0:
        return True
    return False if ctypes.get_errno() == errno.EEXIST else None


def _rename_under_lock(temporary: Path, path: Path) -> bool:
    """Look and rename while no other process that creates this object can."""
    lock = path.with_name(f"{TEMPORARY}lock-{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]}")
    while True:
        if os.path.lexists(path):
            return False
        try:
            os.close(os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except FileExistsError:
            _break_stale(lock)
            time.sleep(_LOOK_EVERY_S)
            continue
        try:
            if os.path.lexists(path):
                return False
            os.rename(temporary, path)
            return True
        finally:
            with suppress(OSError):
                os.unlink(lock)


def _break_stale(lock: Path) -> None:
    """Take away the lock of a process that was killed while it held it."""
    with suppress(FileNotFoundError):
        if time.time() - lock.stat().st_mtime > _STALE_S:
            aside = lock.with_name(f"{TEMPORARY}{secrets.token_hex(8)}")
            os.rename(lock, aside)  # of several that see it, one can
            os.unlink(aside)

"""What the program tells: lines for people; JSON lines where UNECHO_LOG=json, as in a pod."""

import json
import logging
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

TERMINATION_LOG: Final = Path("/dev/termination-log")
"""Kubernetes shows what a container writes here as its end (at most 4096 bytes)."""


def is_json() -> bool:
    """Whether machines read what is told."""
    return os.environ.get("UNECHO_LOG") == "json"


def emit(line: str, *, level: str = "info", shown: str | None = None, **fields: Any) -> None:
    """One line on stderr.

    Args:
        line: the message.
        level: "info", "warning" or "error".
        shown: what people read in its place.
        fields: beside the message, for machines only; those that are None are left out.
    """
    text = line if shown is None else shown
    if is_json():
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        given = {name: value for name, value in fields.items() if value is not None}
        text = json.dumps({"time": now, "level": level, "message": line, **given}, ensure_ascii=False, default=str)
    print(text, file=sys.stderr, flush=True)


def write_termination_message(line: str) -> None:
    """Leave a line where Kubernetes looks for a container's end; elsewhere nothing happens."""
    try:
        if TERMINATION_LOG.exists():
            TERMINATION_LOG.write_bytes(line.encode()[:4096])
    except OSError:  # not ours to write
        pass


def configure_logging(level: int = logging.WARNING) -> None:
    """Let what libraries log come out in the same form."""
    handler = _Handler()
    logging.basicConfig(level=level, handlers=[handler])


class _Handler(logging.Handler):
    """Tells log records."""

    def emit(self, record: logging.LogRecord) -> None:
        emit(record.getMessage(), level=record.levelname.lower(), logger=record.name)

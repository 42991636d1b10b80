"""What the program tells: lines for people; JSON lines where UNECHO_LOG=json, as in a pod."""

import json
import logging
import os
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

TERMINATION_LOG: Final = Path("/dev/termination-log")
"""Kubernetes shows what a container writes here as its end (at most 4096 bytes)."""


def is_json() -> bool:
    """Whether machines read what is told."""
    return os.environ.get("UNECHO_LOG") == "json"


_SECRETS: Final = (
    # what signs a request, in an address or in a header, and the identity that is exchanged for keys
    re.compile(
        r"((?:X-Amz-(?:Signature|Credential|Security-Token)|WebIdentityToken|Signature|Credential)"
        r"[\"']?\s*[=:]\s*b?[\"']?)[^&\s\"'<,]+",
        re.IGNORECASE,
    ),
    re.compile(r"(\bBearer )[^\s\"'<,]+"),
    re.compile(r"(\bAuthorization[\"']?\s*[=:]\s*[\"']?(?:Basic )?)[^\s\"'<,]+", re.IGNORECASE),
    # http.client repeats a header's value when it cannot send it
    re.compile(r"(Invalid header value )b?(?:'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")"),
    # credentials in an address, such as a proxy's
    re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^\s/@'\"]+(?=@)", re.IGNORECASE),
)


SECRET_VARIABLES: Final = (
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "MINIO_ROOT_PASSWORD",
    "MINIO_SECRET_KEY",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "secretkey",
)
"""Variables of the environment whose values are shown to nobody."""
_SHORTEST: Final = 12
"""Letters of a secret that is looked for in texts; a shorter one may be a word of any line."""


def redacted(text: str) -> str:
    """The text without what signs a request, tokens, the values of headers, credentials in addresses, and the secrets
    of the environment.
    """
    for pattern in _SECRETS:
        text = pattern.sub(r"\1***", text)
    for name in SECRET_VARIABLES:
        for part in os.environ.get(name, "").split():
            text = text.replace(part, "***") if len(part) >= _SHORTEST else text
    return text


def emit(line: str, *, level: str = "info", shown: str | None = None, **fields: Any) -> None:
    """One line on stderr, without secrets.

    Args:
        line: the message.
        level: "info", "warning" or "error".
        shown: what people read in its place.
        fields: beside the message, for machines only; those that are None are left out.
    """
    line, text = redacted(line), redacted(line if shown is None else shown)
    if is_json():
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        given = {name: value for name, value in fields.items() if value is not None}
        text = json.dumps({"time": now, "level": level, "message": line, **given}, ensure_ascii=False, default=str)
    print(text, file=sys.stderr, flush=True)


def write_termination_message(line: str) -> None:
    """Leave a line where Kubernetes looks for a container's end; elsewhere nothing happens."""
    try:
        if TERMINATION_LOG.exists():
            TERMINATION_LOG.write_bytes(redacted(line).encode(errors="replace")[:4096])
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

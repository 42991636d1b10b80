"""What a step ran with."""

import os
import platform
import time
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

from unecho.components.run.records import RanWith


def ran_with(started: float, device: str | None = None) -> RanWith:
    """Provenance of a step that ends now.

    Args:
        started: `time.time()` at its start.
        device: name of the device model it computed on, see `unecho.components.model.device_name`.
    """
    return RanWith(
        code=code_version(),
        torch=_version("torch"),
        device=device or processor(),
        started=datetime.fromtimestamp(started, UTC).isoformat(timespec="seconds"),
        seconds=round(time.time() - started, 3),
        image=os.environ.get("UNECHO_IMAGE"),
    )


def code_version() -> str:
    """Version of the installed program; an image may say more in UNECHO_CODE_VERSION (a commit)."""
    return os.environ.get("UNECHO_CODE_VERSION") or _version("unecho") or "unknown"


def processor() -> str:
    """The processor's model name and how many cores this process may use."""
    name = platform.machine()
    try:
        with open("/proc/cpuinfo") as lines:
            name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    except OSError:  # not Linux
        name = platform.processor() or name
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{name}, {cores} cores"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None

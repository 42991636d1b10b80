"""What this process may still allocate: of the machine, and of the pod, which may use less than its node has."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .failure import Fatal


@dataclass(frozen=True)
class Memory:
    """Of a machine, a pod or a device, in bytes.

    Attributes:
        limit: all that may be used, by this process and those beside it.
        free: what is left of that; what the kernel caches of files counts as left.
    """

    limit: int
    free: int


def host_memory(root: Path = Path("/")) -> Memory:
    """By the machine's memory and the limits of the control groups that this process is in, version 2 or 1.

    Source: Linux, Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst; `free` is what the kubelet calls
    the working set, taken from the limit. Where nothing is known, on another system, no limit.

    Args:
        root: of the file system; tests have one of their own.
    """
    found = [_of_machine(root), *_of_groups(root)]
    return Memory(min(one.limit for one in found), max(0, min(one.free for one in found)))


def check_memory(needed: int, what: str, remedy: str) -> None:
    """Whether so many bytes can be had: the kernel ends a process that asks for more, without a line.

    Args:
        what: would be held; `remedy`: what to do about it. Both for the message.

    Raises:
        Fatal: they cannot.
    """
    memory = host_memory()
    if needed > memory.free:
        raise Fatal(f"{what}: {gigabytes(needed)}, where {said(memory)}: {remedy}")


def said(memory: Memory) -> str:
    """What is there, in words."""
    return f"{gigabytes(memory.free)} of memory are free ({gigabytes(memory.limit)} in all)"


def gigabytes(count: int) -> str:
    """Bytes in words: "19.7 GB"."""
    return f"{count / 1e9:.3g} GB"


def _of_machine(root: Path) -> Memory:
    lines = _text(root / "proc/meminfo").splitlines()
    kilobytes = {name: int(rest.split()[0]) for name, sign, rest in (line.partition(":") for line in lines) if sign}
    total, free = (1024 * kilobytes.get(name, _UNLIMITED // 1024) for name in ("MemTotal", "MemAvailable"))
    return Memory(total, free)


def _of_groups(root: Path) -> Iterator[Memory]:
    """Of the process's own control groups and of those above them, each of which may have a limit."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            top, limit, used, cached = root / "sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"
        elif "memory" in controllers.split(","):
            top, limit = root / "sys/fs/cgroup/memory", "memory.limit_in_bytes"
            used, cached = "memory.usage_in_bytes", "total_inactive_file"
        else:
            continue
        # in a container the path may be the node's, and the pod's own group be mounted at the top
        group = top / path.lstrip("/")
        for folder in (one for one in (group, *group.parents) if one.is_relative_to(top)):
            if (most := _number(folder / limit)) is not None:
                yield Memory(most, most - (_number(folder / used) or 0) + _cached(folder / "memory.stat", cached))


def _cached(path: Path, name: str) -> int:
    fields = (line.split() for line in _text(path).splitlines())
    return next((int(field[1]) for field in fields if len(field) == 2 and field[0] == name), 0)


def _number(path: Path) -> int | None:
    """None where there is no such file, or no limit."""
    text = _text(path).strip()
    return int(text) if text.isdigit() and int(text) < _UNLIMITED else None


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


_UNLIMITED: Final = 1 << 62
"""Version 1 writes a number of about 2^63 for none."""

"""How much memory a process may have, by what Linux says of machine and pod."""

from pathlib import Path

import pytest

from unecho.components import host_memory
from unecho.components.failure import Fatal
from unecho.components.host_memory import Memory, check_memory

GIB = 1 << 30
MACHINE = "MemTotal:       67108864 kB\nMemFree:         1048576 kB\nMemAvailable:   33554432 kB\n"  # 64 and 32 GiB


def machine(root: Path, groups: str, **files: str) -> Memory:
    """A root with these files below sys/fs/cgroup."""
    for name, text in {"proc/meminfo": MACHINE, "proc/self/cgroup": groups}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    for name, text in files.items():
        path = root / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return host_memory.host_memory(root)


def test_a_machine_without_limits_may_be_used_up(tmp_path: Path) -> None:
    assert machine(tmp_path, "0::/\n", **{"memory.max": "max\n"}) == Memory(64 * GIB, 32 * GIB)


def test_a_pod_may_use_what_its_limit_says_less_what_it_uses_but_for_files_that_are_cached(tmp_path: Path) -> None:
    files = {
        "memory.max": f"{16 * GIB}\n",
        "memory.current": f"{10 * GIB}\n",
        "memory.stat": f"anon {6 * GIB}\ninactive_file {3 * GIB}\nactive_file {GIB}\n",
    }
    assert machine(tmp_path, "0::/\n", **files) == Memory(16 * GIB, 9 * GIB)


def test_a_limit_of_a_group_above_counts_and_the_least_is_what_there_is(tmp_path: Path) -> None:
    files = {
        "pods/memory.max": f"{20 * GIB}",
        "pods/memory.current": f"{19 * GIB}",
        "pods/a/memory.max": f"{16 * GIB}",
        "pods/a/memory.current": f"{2 * GIB}",
        "pods/a/own/memory.max": "max",
    }
    assert machine(tmp_path, "0::/pods/a/own\n", **files) == Memory(16 * GIB, GIB)


def test_version_1_of_control_groups_as_seen_from_within_a_container(tmp_path: Path) -> None:
    """There its path is the node's, and the pod's own group is mounted at the top."""
    files = {
        "memory/memory.limit_in_bytes": f"{8 * GIB}",
        "memory/memory.usage_in_bytes": f"{3 * GIB}",
        "memory/memory.stat": f"inactive_file 1\ntotal_inactive_file {GIB}\n",
    }
    groups = "5:cpu,cpuacct:/kubepods/x\n4:memory:/kubepods/x\n0::/\n"
    assert machine(tmp_path, groups, **files) == Memory(8 * GIB, 6 * GIB)
    files["memory/memory.limit_in_bytes"] = "9223372036854771712"
    assert machine(tmp_path, groups, **files) == Memory(64 * GIB, 32 * GIB)


def test_where_nothing_is_known_nothing_is_refused(tmp_path: Path) -> None:
    assert host_memory.host_memory(tmp_path).free > 1 << 60


def test_what_does_not_fit_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_memory, "host_memory", lambda: Memory(16 * GIB, 14 * GIB))
    check_memory(14 * GIB, "the images", "hold fewer")
    said = r"the images: 19.7 GB, where 15 GB of memory are free \(17.2 GB in all\): hold fewer"
    with pytest.raises(Fatal, match=said):
        check_memory(19_700_000_000, "the images", "hold fewer")

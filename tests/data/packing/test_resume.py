"""An interrupted prepare goes on and ends with the bytes of one that was not."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from unecho.components.config import resolve
from unecho.components.plan.step import plan
from unecho.components.prepare.step import prepare
from unecho.components.progress import Silent
from unecho.components.run import DatasetRecord, Run
from unecho.components.store.directory import DirectoryStore

SETTINGS = ("data.resolution=8", "data.held_out=0.2", "data.chunk_mib=0.0003")  # 4 rows a chunk
LIMITED = (*SETTINGS, "data.train_limit=9")


class Interrupting(DirectoryStore):
    """Does something else before a number of writes."""

    def __init__(self, root: Path, at: int, action) -> None:
        super().__init__(root)
        self.writes, self._at, self._action = 0, at, action

    def put(self, key, data) -> None:
        self._count()
        super().put(key, data)

    def create(self, key, data) -> bool:
        self._count()
        return super().create(key, data)

    def _count(self) -> None:
        self.writes += 1
        if self.writes == self._at:
            self._action()


def lost() -> None:
    raise OSError("the store is out of reach")


@pytest.fixture
def source(tree, noise) -> Path:
    return tree({f"{'ab'[number % 2]}/{number:02}.png": image for number, image in enumerate(noise(18))})


def run_at(root: Path, source: Path, settings: tuple[str, ...], name: str = "run") -> Run:
    run = Run(DirectoryStore(root), name)
    plan(run, resolve(settings=(f"data.source={source}", "msr.enabled=false", *settings)))
    return run


def contents(root: Path) -> dict[str, bytes]:
    """All that a data set consists of."""
    files = {path.relative_to(root).as_posix(): path for path in (root / "datasets").rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in files.items()}


@pytest.mark.parametrize("settings", [SETTINGS, LIMITED], ids=["all", "limited"])
def test_lost_before_any_write_it_ends_with_the_same_bytes(tmp_path: Path, source: Path, settings) -> None:
    whole = run_at(tmp_path / "whole", source, settings)
    expected = prepare(whole, Silent()).digest
    bytes_expected = contents(tmp_path / "whole")
    assert not any("progress" in name for name in bytes_expected)
    for at in range(1, 100):
        root = tmp_path / f"lost-{at}"
        run = run_at(root, source, settings)
        store = Interrupting(root, at, lost)
        try:
            prepare(Run(store, run.name), Silent())
        except OSError:
            assert run.find(DatasetRecord) is None
        if store.writes < at:
            break  # it has fewer writes than that
        assert prepare(run, Silent()).digest == expected
        assert contents(root) == bytes_expected
    assert at > 10


@pytest.mark.parametrize("at", [4, 8])
def test_what_was_packed_is_not_decoded_again(tmp_path: Path, source: Path, at: int) -> None:
    expected = prepare(run_at(tmp_path / "whole", source, SETTINGS), Silent()).digest
    run = run_at(tmp_path / "root", source, SETTINGS)
    with pytest.raises(OSError, match="out of reach"):
        prepare(Run(Interrupting(tmp_path / "root", at, lost), run.name), Silent())
    parts = len(list((tmp_path / "root/datasets/progress").rglob("parts/*.json")))
    assert parts == (at - 1) // 2  # a chunk and a record each
    for path in sorted(source.rglob("*.png"))[: parts * 4]:  # spoilt behind its back: looking at them would stop it
        stat = path.stat()
        path.write_bytes(b"x" * stat.st_size)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert prepare(run, Silent()).digest == expected


def test_a_part_whose_chunk_is_gone_or_whose_record_is_spoilt_is_packed_again(tmp_path: Path, source: Path) -> None:
    expected = prepare(run_at(tmp_path / "whole", source, SETTINGS), Silent()).digest
    run = run_at(tmp_path / "root", source, SETTINGS)
    with pytest.raises(OSError, match="out of reach"):
        prepare(Run(Interrupting(tmp_path / "root", 7, lost), run.name), Silent())
    next((tmp_path / "root/datasets/chunks").iterdir()).unlink()
    records = sorted((tmp_path / "root/datasets/progress").rglob("parts/*.json"))
    records[-1].write_bytes(records[-1].read_bytes()[:40])
    assert prepare(run, Silent()).digest == expected
    assert contents(tmp_path / "root") == contents(tmp_path / "whole")


@pytest.mark.parametrize("settings", [SETTINGS, LIMITED], ids=["all", "limited"])
def test_two_that_prepare_the_same_source_at_once_do_not_spoil_each_other(
    tmp_path: Path, source: Path, settings
) -> None:
    expected = prepare(run_at(tmp_path / "whole", source, settings), Silent()).digest
    for at in range(1, 100):
        root = tmp_path / f"both-{at}"
        slow, fast = run_at(root, source, settings, "slow"), run_at(root, source, settings, "fast")
        store = Interrupting(root, at, lambda fast=fast: prepare(fast, Silent()))
        assert prepare(Run(store, slow.name), Silent()).digest == expected
        if store.writes < at:
            break
        assert fast.load(DatasetRecord).digest == expected
        left = contents(root)
        wanted = contents(tmp_path / "whole")
        assert {name: left[name] for name in wanted} == wanted
    assert at > 10


SCRIPT = """
import os, signal, sys
from multiprocessing import parent_process
from pathlib import Path
from unecho.components.data import decoding
from unecho.components.prepare.step import prepare
from unecho.components.progress import Silent
from unecho.components.run import Run
from unecho.components.store.directory import DirectoryStore

class Killing(DirectoryStore):
    left = int(sys.argv[2])

    def put(self, key, data):
        self.left -= 1
        if not self.left:
            parent = os.getppid() if parent_process() else os.getpid()
            print(Path(f"/proc/{parent}/task/{parent}/children").read_text(), flush=True)
            os.kill(parent, signal.SIGKILL)
        super().put(key, data)

if __name__ == "__main__":
    decoding.IN_PROCESS_BYTES = 0
    prepare(Run(Killing(Path(sys.argv[1])), "run"), Silent())
"""


@pytest.mark.parametrize(("at", "settings"), [(5, SETTINGS), (4, LIMITED)], ids=["packing", "repacking"])
def test_killed_it_goes_on_and_its_workers_end(tmp_path: Path, source: Path, at: int, settings) -> None:
    expected = prepare(run_at(tmp_path / "whole", source, settings), Silent()).digest
    run = run_at(tmp_path / "root", source, (*settings, "execution.workers=2"))
    (tmp_path / "script.py").write_text(SCRIPT)
    killed = subprocess.Popen(
        [sys.executable, str(tmp_path / "script.py"), str(tmp_path / "root"), str(at)],
        env=os.environ | {"PYTHONPATH": os.getcwd()},
        stdout=subprocess.PIPE,
        text=True,
    )
    workers = [open_pid(int(pid)) for pid in killed.stdout.readline().split()]
    assert killed.wait() == -signal.SIGKILL
    for worker in workers:
        assert worker is None or select.select([worker], [], [], 60)[0], "a worker outlived its parent"
    assert prepare(run, Silent()).digest == expected
    assert contents(tmp_path / "root").keys() >= contents(tmp_path / "whole").keys()
    assert not list(run.store.list("datasets/progress/"))  # a worker may have left a file that it was writing


def open_pid(pid: int) -> int | None:
    """Something to wait on for the end of any process; None when it has ended."""
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None


def test_a_committed_record_is_returned_without_a_look_at_the_source(tmp_path: Path, source: Path) -> None:
    run = run_at(tmp_path / "root", source, SETTINGS)
    first = prepare(run, Silent())
    source.rename(tmp_path / "away")
    assert prepare(run, Silent()) == first
    assert np.isfinite(first.ran_with.seconds)

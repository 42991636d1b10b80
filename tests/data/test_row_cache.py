"""The row cache: right pixels whatever happens to its directory, each row asked of the store once, within its limit."""

import os
import random
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unecho.components.data import Dataset
from unecho.components.data.row_cache import RowCache

MIB = 1 << 20
BLOCK = os.statvfs("/tmp").f_frsize


@dataclass
class Opened:
    """A data set as a pod opens it.

    Attributes:
        images: its pixels.
    """

    dataset: Dataset
    images: np.ndarray
    store: Any

    def read(self, rows: Sequence[int]) -> int:
        """Read rows and check them; how many rows were asked of the store."""
        self.store.reads.clear()
        assert (self.dataset.rows(rows) == self.images[list(rows)]).all()
        return sum(length for _, _, length in self.store.reads) // self.images[0].nbytes


@pytest.fixture
def opened(pack: Callable[..., Any], noise: Callable[..., np.ndarray], tmp_path: Path) -> Callable[..., Opened]:
    """opened(): a data set of 300 rows of 3 x 32 x 32 bytes, opened anew behind a cache."""
    packed = pack(noise(300, 3, 32), [64, 64, 64, 64, 44])
    digest = packed.open().digest

    def call(cache: Path | None = tmp_path / "cache", limit: int = 64 * MIB) -> Opened:
        return Opened(Dataset.open(packed.store, digest, cache, limit), packed.images, packed.store)

    return call


def test_in_the_next_round_only_rows_new_to_the_shard_are_read(opened: Callable[..., Opened]) -> None:
    rows = random.Random(0).sample(range(300), 110)
    assert opened().read(rows[:100]) == 100
    assert opened().read(rows[10:110]) == 10  # ten rows have left the shard, ten are new
    assert opened(None).read(rows[10:110]) == 100


def test_what_was_read_is_not_asked_for_again_in_whatever_order_and_however_often(
    opened: Callable[..., Opened],
) -> None:
    dataset = opened()
    assert dataset.read([7, 3, 3, 299, 7]) == 3
    assert dataset.read([299, 7, 3, 7, 7]) == 0
    assert dataset.read([3, 4, 3, 5, 4]) == 2
    assert dataset.read([]) == 0


def test_only_the_rows_that_were_read_take_room_on_the_disk(opened: Callable[..., Opened], tmp_path: Path) -> None:
    opened().read([0, 299])
    (file,) = (tmp_path / "cache").glob("*.rows")
    assert file.stat().st_size == 300 * 3072
    assert file.stat().st_blocks * 512 <= 4 * BLOCK


def test_a_row_with_any_byte_changed_is_asked_for_again_and_never_served(
    opened: Callable[..., Opened], tmp_path: Path
) -> None:
    opened().read(range(20))
    (file,) = (tmp_path / "cache").glob("*.rows")
    dice = random.Random(1)
    for row in range(20):
        with file.open("r+b") as bytes_:
            bytes_.seek(row * 3072 + dice.randrange(3072))
            old = bytes_.read(1)
            bytes_.seek(-1, os.SEEK_CUR)
            bytes_.write(bytes([old[0] ^ 4]))
        assert opened().read(range(20)) == 1
        assert opened().read(range(20)) == 0


def test_a_mark_without_its_row_is_a_miss(opened: Callable[..., Opened], tmp_path: Path) -> None:
    opened().read([1])
    (held,) = (tmp_path / "cache").glob("*.held")
    held.write_bytes(b"\1" * 300)  # as after a power loss that kept the marks and lost the rows
    assert opened().read([0, 1, 2]) == 2


def test_files_of_another_size_are_made_right(opened: Callable[..., Opened], tmp_path: Path) -> None:
    opened().read([1, 2])
    for file in (tmp_path / "cache").iterdir():
        file.write_bytes(file.read_bytes()[:1])
    opened().read([1, 2])
    assert opened().read([1, 2]) == 0


def test_the_limit_is_kept(opened: Callable[..., Opened], tmp_path: Path) -> None:
    limit = 100 * BLOCK
    opened(limit=limit).read(range(300))
    opened(limit=limit).read(range(300))
    assert sum(file.stat().st_blocks * 512 for file in (tmp_path / "cache").glob("*.rows")) <= limit
    assert 0 < opened(limit=limit).read(range(300)) < 300  # what fitted is kept


def test_files_of_other_data_sets_go_for_new_rows_those_used_longest_ago_first(
    opened: Callable[..., Opened], tmp_path: Path
) -> None:
    folder = tmp_path / "cache"
    for age, name in ((300, "oldest"), (200, "old"), (100, "new")):
        cache = RowCache(folder, name, 300, 3072, 64 * MIB)
        cache.add(np.arange(300), np.ones((300, 3072), np.uint8))
        os.utime(folder / f"{name}.rows", (0, 1_000_000 - age))
    opened(limit=int(2.5 * 300 * 3072)).read(range(300))
    assert {file.name for file in folder.iterdir() if file.stem in ("oldest", "old", "new")} == {"new.rows", "new.held"}


@pytest.mark.parametrize("directory", ["/proc/nowhere/cache", "/dev/null", "a file"])
def test_a_directory_that_cannot_be_written_is_no_failure(
    opened: Callable[..., Opened], tmp_path: Path, directory: str
) -> None:
    (tmp_path / "a file").write_bytes(b"")
    dataset = opened(tmp_path / directory)
    assert (dataset.read([1, 2]), dataset.read([1, 2])) == (2, 2)


def test_a_disk_that_is_full_is_no_failure_and_what_fitted_is_whole(
    opened: Callable[..., Opened], monkeypatch: pytest.MonkeyPatch
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    dataset = opened()  # its files are made, holes all over
    resource.setrlimit(resource.RLIMIT_FSIZE, (100 * 3072 + 1000, hard))  # a write beyond it is cut short, then fails
    try:
        assert dataset.read(range(300)) == 300
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    again = opened().read(range(300))
    assert 200 <= again < 300


WORKER = """
import random, sys
from pathlib import Path
import numpy as np
from unecho.components.data import Dataset
from unecho.components.store.directory import DirectoryStore
root, digest, cache, images, seed, count = sys.argv[1:]
right, dice = np.load(images), random.Random(int(seed))
dataset = Dataset.open(DirectoryStore(Path(root)), digest, Path(cache), 64 << 20)
print("ready", flush=True)
for _ in range(int(count)):
    rows = [dice.randrange(300) for _ in range(40)]
    assert (dataset.rows(rows) == right[rows]).all()
print("right", flush=True)
"""


@pytest.fixture
def worker(opened: Callable[..., Opened], tmp_path: Path) -> Callable[[int, int], "subprocess.Popen[str]"]:
    """A process that reads random rows through the shared cache, and checks them."""
    dataset = opened()
    np.save(tmp_path / "images.npy", dataset.images)
    fixed = [tmp_path, dataset.dataset.digest, tmp_path / "cache", tmp_path / "images.npy"]

    def start(seed: int, count: int) -> "subprocess.Popen[str]":
        words = [sys.executable, "-c", WORKER, *map(str, fixed), str(seed), str(count)]
        return subprocess.Popen(words, text=True, stdout=subprocess.PIPE)

    return start


def test_processes_share_a_directory(worker: Callable[[int, int], "subprocess.Popen[str]"]) -> None:
    processes = [worker(seed, 60) for seed in range(3)]
    assert [process.communicate()[0] for process in processes] == ["ready\nright\n"] * 3


def test_a_reader_killed_at_any_moment_leaves_a_cache_that_serves_right_pixels(
    worker: Callable[[int, int], "subprocess.Popen[str]"], opened: Callable[..., Opened]
) -> None:
    dice = random.Random(0)
    for seed in range(4):
        process = worker(seed, 100_000)
        assert process.stdout is not None
        process.stdout.readline()
        try:
            process.wait(dice.random() * 0.05)
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    opened().read(range(300))
    assert opened().read(range(300)) == 0

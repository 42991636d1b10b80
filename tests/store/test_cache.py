"""The read cache: right bytes whatever happens to its directory, new rows only, never larger than its limit."""

import fcntl
import hashlib
import os
import random
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from unecho.components.store import CachedStore, Missing, Store
from unecho.components.store.directory import DirectoryStore

ROW = 3072
MIB = 1 << 20
CHUNK = hashlib.shake_128(b"chunk").digest(1000 * ROW)


class CountingStore(DirectoryStore):
    """Counts what is asked of it."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.reads, self.bytes = 0, 0

    def get(self, key: str) -> bytes:
        data = super().get(key)
        self.reads, self.bytes = self.reads + 1, self.bytes + len(data)
        return data

    def read_ranges(self, key: str, ranges: Sequence[tuple[int, memoryview]]) -> None:
        self.reads, self.bytes = self.reads + 1, self.bytes + sum(len(target) for _, target in ranges)
        super().read_ranges(key, ranges)


@pytest.fixture
def inner(tmp_path: Path) -> CountingStore:
    store = CountingStore(tmp_path / "store")
    store.put("chunk", CHUNK)
    return store


def cached(inner: Store, tmp_path: Path, limit: int = 64 * MIB) -> CachedStore:
    return CachedStore(inner, tmp_path / "cache", limit)


def read_rows(store: Store, rows: Sequence[int], key: str = "chunk") -> None:
    """Read rows and check them."""
    buffers = [bytearray(ROW) for _ in rows]
    store.read_ranges(key, [(row * ROW, memoryview(buffer)) for row, buffer in zip(rows, buffers, strict=True)])
    assert buffers == [CHUNK[row * ROW : (row + 1) * ROW] for row in rows]


def size_of(directory: Path) -> int:
    """Bytes of the files in a cache's directory, at a moment when no process changes it."""
    directory.mkdir(exist_ok=True)
    with (directory / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return sum(file.stat().st_size for file in directory.iterdir())


def test_in_the_next_round_only_rows_new_to_the_shard_are_read(inner: CountingStore, tmp_path: Path) -> None:
    rows = random.Random(0).sample(range(1000), 110)
    read_rows(cached(inner, tmp_path), sorted(rows[:100]))
    assert inner.bytes == 100 * ROW
    next_pod = cached(inner, tmp_path)  # ten rows have left the shard, ten are new
    read_rows(next_pod, sorted(rows[10:110]))
    assert inner.bytes == 110 * ROW
    assert (next_pod.bytes_hit, next_pod.bytes_missed) == (90 * ROW, 10 * ROW)


def test_what_was_read_is_not_asked_for_again_whole_or_in_part(inner: CountingStore, tmp_path: Path) -> None:
    store = cached(inner, tmp_path)
    assert store.get("chunk") == CHUNK
    assert store.get("chunk") == CHUNK
    read_rows(cached(inner, tmp_path), [0, 5, 999])
    buffer = bytearray(2 * MIB)
    store.read_into("chunk", 12_345, memoryview(buffer))
    assert buffer == CHUNK[12_345 : 12_345 + 2 * MIB]
    assert inner.reads == 1


def test_a_range_that_is_here_in_part_is_completed_from_the_store(inner: CountingStore, tmp_path: Path) -> None:
    store = cached(inner, tmp_path)
    for start, stop in ((1000, 2000), (3000, 4000), (3500, 5000), (1500, 1600), (0, 10_000), (0, 10_000)):
        buffer = bytearray(stop - start)
        store.read_into("chunk", start, memoryview(buffer))
        assert buffer == CHUNK[start:stop]
    assert inner.bytes == 10_000  # each byte once


def test_records_and_what_the_store_says_of_itself_are_never_remembered(inner: CountingStore, tmp_path: Path) -> None:
    store = cached(inner, tmp_path)
    assert store.find("record.json") is None
    assert store.stat("new") is None
    assert [stat.key for stat in store.list("")] == ["chunk"]
    inner.create("record.json", b"{}")
    inner.put("new", b"1234")
    assert store.find("record.json") == store.get("record.json") == b"{}"
    stat = store.stat("new")
    assert stat is not None
    assert stat.size == 4
    assert [stat.key for stat in store.list("")] == ["chunk", "new", "record.json"]
    inner.put("record.json", b"[]")
    assert store.get("record.json") == b"[]"


def test_a_missing_object_is_missing_until_it_is_there(inner: CountingStore, tmp_path: Path) -> None:
    store = cached(inner, tmp_path)
    with pytest.raises(Missing):
        store.get("later")
    with pytest.raises(Missing):
        store.read_into("later", 0, memoryview(bytearray(1)))
    inner.put("later", b"here")
    assert store.get("later") == b"here"


def test_stores_that_share_a_directory_do_not_mix_their_objects(tmp_path: Path) -> None:
    one, other = (DirectoryStore(tmp_path / name) for name in ("one", "other"))
    one.put("chunk", b"one")
    other.put("chunk", b"other")
    assert [cached(store, tmp_path).get("chunk") for store in (one, other, one, other)] == [b"one", b"other"] * 2


def test_the_limit_is_kept_and_what_was_used_last_stays(inner: CountingStore, tmp_path: Path) -> None:
    limit = 10 * ROW * 100
    store = cached(inner, tmp_path, limit)
    for number in range(30):
        inner.put(f"chunk-{number}", CHUNK)
        read_rows(store, range(100), f"chunk-{number}")
        read_rows(store, range(100), "chunk-0")
        assert size_of(tmp_path / "cache") <= limit
    before = inner.reads
    assert before == 30  # each chunk once: the one that was used again and again was never dropped
    read_rows(store, range(100), "chunk-0")
    read_rows(store, range(100), "chunk-29")
    assert inner.reads == before
    assert size_of(tmp_path / "cache") > limit * 0.8


def test_an_object_larger_than_the_limit_is_served_and_not_kept(inner: CountingStore, tmp_path: Path) -> None:
    store = cached(inner, tmp_path, limit=MIB)
    assert [store.get("chunk"), store.get("chunk")] == [CHUNK, CHUNK]
    assert (inner.reads, size_of(tmp_path / "cache")) == (2, 0)


def cache_file(tmp_path: Path) -> Path:
    (file,) = (tmp_path / "cache").glob("*.fragments")
    return file


def test_a_file_that_was_cut_anywhere_serves_nothing_wrong_and_grows_again(
    inner: CountingStore, tmp_path: Path
) -> None:
    read_rows(cached(inner, tmp_path), [1, 2])
    read_rows(cached(inner, tmp_path), [3, 500])
    whole = cache_file(tmp_path).read_bytes()
    for length in [*range(120), *range(120, len(whole), 997), len(whole) - 1]:
        cache_file(tmp_path).write_bytes(whole[:length])
        for _ in range(2):
            read_rows(cached(inner, tmp_path), [1, 2, 3, 500])
        before = inner.reads
        read_rows(cached(inner, tmp_path), [1, 2, 3, 500])
        assert inner.reads == before


def test_a_file_with_any_byte_changed_serves_nothing_wrong(inner: CountingStore, tmp_path: Path) -> None:
    read_rows(cached(inner, tmp_path), [1, 2])
    whole = cache_file(tmp_path).read_bytes()
    for at in [*range(120), *range(120, len(whole), 499)]:
        cache_file(tmp_path).write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        read_rows(cached(inner, tmp_path), [1, 2])


def test_a_file_that_another_process_dropped_and_made_anew_is_not_mistaken(
    inner: CountingStore, tmp_path: Path
) -> None:
    store = cached(inner, tmp_path)
    read_rows(store, [1, 2, 3])
    file = cache_file(tmp_path)
    file.unlink()
    read_rows(cached(inner, tmp_path), [7])
    read_rows(store, [1, 2, 3, 7])
    read_rows(store, [1, 2, 3, 7])
    assert inner.bytes == (3 + 1 + 3) * ROW


@pytest.mark.parametrize("directory", ["/proc/nowhere/cache", "/dev/null", "a file"])
def test_a_directory_that_cannot_be_written_is_no_failure(inner: CountingStore, tmp_path: Path, directory: str) -> None:
    (tmp_path / "a file").write_bytes(b"")
    store = CachedStore(inner, tmp_path / directory, 64 * MIB)
    assert store.get("chunk") == CHUNK
    read_rows(store, [1, 2])


def python(code: str, *arguments: object, **options: object) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], text=True, stdout=subprocess.PIPE, **options
    )  # type: ignore[call-overload,no-any-return]


def test_a_disk_that_is_full_is_no_failure_and_leaves_nothing_half_written(
    inner: CountingStore, tmp_path: Path
) -> None:
    code = """
import resource, sys
from pathlib import Path
from unecho.components.store import CachedStore
from unecho.components.store.directory import DirectoryStore
resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))  # a write beyond it is cut short, then fails
store = CachedStore(DirectoryStore(Path(sys.argv[1])), Path(sys.argv[2]), 64 << 20)
buffer = bytearray(100_000)
for start in range(0, 1_000_000, 100_000):
    store.read_into("chunk", start, memoryview(buffer))
print(store.get("chunk").hex() == sys.stdin.read())
"""
    process = python(code, tmp_path / "store", tmp_path / "cache", stdin=subprocess.PIPE)
    assert process.communicate(CHUNK.hex())[0] == "True\n"
    assert size_of(tmp_path / "cache") <= 500_000
    store = cached(inner, tmp_path)
    buffer = bytearray(400_000)
    store.read_into("chunk", 0, memoryview(buffer))
    assert (bytes(buffer), inner.bytes) == (CHUNK[:400_000], 0)  # what fitted is whole


READER = """
import os, random, sys
from pathlib import Path
from unecho.components.store import CachedStore
from unecho.components.store.directory import DirectoryStore
root, directory, limit, seed, count, chunk = sys.argv[1:]
data, dice = Path(root, "chunk").read_bytes(), random.Random(int(seed))
store = CachedStore(DirectoryStore(Path(root)), Path(directory), int(limit))
print("ready", flush=True)
for number in range(int(count)):
    key = f"chunk{dice.choice(['', '-1', '-2', '-3'])}"
    starts = [dice.randrange(len(data) - 9000) for _ in range(20)]
    buffers = [bytearray(dice.randrange(9000)) for _ in starts]
    store.read_ranges(key, [(start, memoryview(buffer)) for start, buffer in zip(starts, buffers)])
    assert all(data[start:start + len(buffer)] == buffer for start, buffer in zip(starts, buffers)), key
print("right", flush=True)
"""


@pytest.fixture
def four_chunks(inner: CountingStore) -> None:
    for number in (1, 2, 3):
        inner.put(f"chunk-{number}", CHUNK)


@pytest.mark.usefixtures("four_chunks")
def test_processes_share_a_directory_that_is_too_small_for_them(tmp_path: Path) -> None:
    limit = 2 * MIB
    processes = [python(READER, tmp_path / "store", tmp_path / "cache", limit, seed, 60, "") for seed in range(4)]
    while any(process.poll() is None for process in processes):
        assert size_of(tmp_path / "cache") <= limit
    assert [process.communicate()[0] for process in processes] == ["ready\nright\n"] * 4


@pytest.mark.usefixtures("four_chunks")
def test_a_reader_killed_at_any_moment_leaves_a_cache_that_serves_right_bytes(tmp_path: Path) -> None:
    dice = random.Random(0)
    for seed in range(5):
        process = python(READER, tmp_path / "store", tmp_path / "cache", 64 * MIB, seed, 10_000, "")
        assert process.stdout is not None
        process.stdout.readline()
        try:
            process.wait(dice.random() * 0.1)
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    last = python(READER, tmp_path / "store", tmp_path / "cache", 64 * MIB, 99, 30, "")
    assert last.communicate()[0] == "ready\nright\n"
    whole = cached(DirectoryStore(tmp_path / "store"), tmp_path)
    assert whole.get("chunk") == whole.get("chunk") == CHUNK

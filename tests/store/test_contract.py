"""What every store promises, tried on each."""

import hashlib
import os
import pickle
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from unecho.components.failure import Fatal
from unecho.components.store import (
    Missing,
    ObjectRef,
    SequentialReader,
    Store,
    fetch,
    open_store,
    put_object,
)
from unecho.components.store.s3.transfer import WRITE_PART

MIB = 1 << 20
Opener = Callable[[], Store]


@pytest.fixture(params=["file", "s3"])
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Opener:
    """Opens the same store anew, as another pod does."""
    if request.param == "file":
        return lambda: open_store(str(tmp_path / "store"))
    root = request.getfixturevalue("s3_root")
    return lambda: open_store(root)


@pytest.fixture
def store(opener: Opener) -> Store:
    return opener()


def noise(size: int, seed: int = 0) -> bytes:
    return hashlib.shake_128(seed.to_bytes(8, "big")).digest(size)


@pytest.mark.parametrize("size", [0, 1, 70_000, WRITE_PART, WRITE_PART + 1, 2 * WRITE_PART + 12_345])
def test_what_is_put_is_got_whatever_its_size(store: Store, size: int) -> None:
    data = noise(size)
    store.put("a/object", data)
    assert store.get("a/object") == data
    found = store.stat("a/object")
    assert found is not None
    assert (found.key, found.size) == ("a/object", size)


@pytest.mark.parametrize("size", [0, 70_000, 2 * WRITE_PART + 12_345])
def test_a_file_is_put_like_memory(store: Store, tmp_path: Path, size: int) -> None:
    (tmp_path / "file").write_bytes(noise(size))
    store.put("object", tmp_path / "file")
    assert store.get("object") == noise(size)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer_is_put_and_created(store: Store, kind: type) -> None:
    data = kind(b"payload")
    store.put("put", data)
    assert store.create("created", data)
    assert (store.get("put"), store.get("created")) == (b"payload", b"payload")


def test_a_put_replaces_what_is_there(store: Store) -> None:
    store.put("object", b"first")
    assert store.get("object") == b"first"
    store.put("object", b"second, longer")
    assert store.get("object") == b"second, longer"


def test_an_object_that_is_not_there_is_told_by_its_address(store: Store) -> None:
    for read in (
        lambda: store.get("no/object"),
        lambda: store.read_into("no/object", 0, memoryview(bytearray(3))),
        lambda: store.read_ranges("no/object", [(0, memoryview(bytearray(3)))]),
        lambda: store.read_into("no/object", 0, memoryview(bytearray(0))),
    ):
        with pytest.raises(Missing, match=f"^{store.url}/no/object: no such object$"):
            read()
    assert store.stat("no/object") is None
    assert store.find("no/object") is None
    assert store.find("no/record.json") is None


def test_a_range_lands_in_its_buffer_and_nowhere_else(store: Store) -> None:
    store.put("object", noise(100_000))
    buffer = bytearray(b"." * 1000)
    store.read_into("object", 50_000, memoryview(buffer)[100:900])
    assert buffer == b"." * 100 + noise(100_000)[50_000:50_800] + b"." * 100


def test_a_large_range_is_read_right_from_an_odd_offset(store: Store) -> None:
    data = noise(20 * MIB + 77)
    store.put("object", data)
    buffer = bytearray(len(data) - 13)
    store.read_into("object", 13, memoryview(buffer))
    assert buffer == data[13:]


@pytest.mark.parametrize("start", [0, 90, 100, 5000])
def test_a_range_behind_the_end_is_told_with_the_size(store: Store, start: int) -> None:
    store.put("short", noise(100))
    with pytest.raises(Fatal, match=rf"^{store.url}/short: truncated: 100 bytes, {start + 200} were expected$"):
        store.read_into("short", start, memoryview(bytearray(200)))


def test_many_ranges_are_read_in_any_order_near_and_far_twice_and_overlapping(store: Store) -> None:
    data = noise(3 * MIB)
    store.put("rows", data)
    wanted = [
        (2 * MIB, 100),
        (5, 10),
        (15, 10),
        (MIB, 300_000),
        (5, 10),
        (8, 4),
        (MIB + 100, 50),
        (0, 0),
        (3 * MIB - 1, 1),
    ]
    for _ in range(2):  # the second time from the cache, where there is one
        buffers = [bytearray(count) for _, count in wanted]
        store.read_ranges(
            "rows", [(start, memoryview(buffer)) for (start, _), buffer in zip(wanted, buffers, strict=True)]
        )
        assert buffers == [data[start : start + count] for start, count in wanted]


def test_create_has_one_winner_and_the_loser_changes_nothing(store: Store, opener: Opener) -> None:
    assert store.create("record.json", b"mine")
    assert not store.create("record.json", b"mine")
    assert not opener().create("record.json", b"theirs")
    assert store.get("record.json") == b"mine"


@pytest.mark.parametrize("writers", [2, 8])
def test_of_many_writers_at_one_address_one_wins_and_its_bytes_stand(opener: Opener, writers: int) -> None:
    barrier = Barrier(writers)

    def write(number: int) -> bool:
        store = opener()
        barrier.wait()
        return store.create("runs/x/record.json", b"%d" % number)

    with ThreadPoolExecutor(writers) as threads:
        won = list(threads.map(write, range(writers)))
    assert sum(won) == 1
    assert opener().get("runs/x/record.json") == b"%d" % won.index(True)


def test_a_listing_is_sorted_by_the_bytes_of_the_keys_and_knows_the_sizes(store: Store) -> None:
    keys = ["b", "a/1.json", "a/1/x", "a/1-2", "a/é", "a/z", "a.txt", "a0", "A", "a b/c+d&e=f%20.png", "ä/x"]
    for number, key in enumerate(keys):
        store.put(key, b"." * number)
    ordered = sorted(keys, key=str.encode)
    assert [(stat.key, stat.size) for stat in store.list("")] == [(key, keys.index(key)) for key in ordered]
    assert [stat.key for stat in store.list("a/1")] == ["a/1-2", "a/1.json", "a/1/x"]
    assert [stat.key for stat in store.list("a/")] == [key for key in ordered if key.startswith("a/")]
    assert list(store.list("nothing/")) == []


def test_a_key_of_any_characters_is_itself(store: Store) -> None:
    keys = ["a b", "a+b", "a%20b", "a&b=c", "ümlaut/日本", "#hash", "q?m", "x" * 200]
    for key in keys:
        store.put(key, key.encode())
    assert [store.get(key) for key in keys] == [key.encode() for key in keys]


@pytest.mark.parametrize("key", ["../outside", "a/../b", "/absolute"])
def test_a_key_cannot_leave_the_root(store: Store, key: str) -> None:
    with pytest.raises(Fatal, match="a key is a relative path"):
        store.put(key, b"")
    with pytest.raises(Fatal, match=r"a key is a relative path|no such object"):  # below a prefix '/absolute' is a key
        store.get(key)


def test_deleting_is_thorough_and_forgives_what_is_not_there(store: Store) -> None:
    for number in range(12):
        store.put(f"a/{number:02}", b"x")
    store.delete(f"a/{number:02}" for number in range(10))
    store.delete(["a/00", "never/there"])
    store.delete([])
    assert [stat.key for stat in store.list("")] == ["a/10", "a/11"]
    with pytest.raises(Missing):
        store.get("a/00")


def test_an_unpickled_store_is_the_same_store(store: Store) -> None:
    store.put("object", b"bytes")
    again = pickle.loads(pickle.dumps(store))
    assert (again.url, again.get("object")) == (store.url, b"bytes")


def test_a_forked_process_reads_and_so_does_its_parent(store: Store) -> None:
    data = noise(20 * MIB)  # so large that threads read it, which a forked process has not
    store.put("object", data)
    assert store.get("object") == data
    if (child := os.fork()) == 0:
        signal.alarm(30)
        try:
            store.read_into("object", 0, memoryview(buffer := bytearray(len(data))))
            os._exit(0 if buffer == data else 1)
        finally:
            os._exit(2)
    assert store.get("object") == data
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_an_object_is_fetched_only_with_the_bytes_its_manifest_names(store: Store) -> None:
    ref = put_object(store, "runs/x", "weights", b"right bytes")
    assert fetch(store, ref) == b"right bytes"
    for wrong, complaint in (
        (b"wrong bytes", "altered: SHA-256"),
        (b"short", "truncated: 5 bytes, its manifest says 11"),
    ):
        store.put(ref.key, wrong)
        with pytest.raises(Fatal, match=f"^{store.url}/{ref.key}: {complaint}"):
            fetch(store, ref)
    store.delete([ref.key])
    with pytest.raises(Missing, match=ref.key):
        fetch(store, ref)


def test_a_sequential_reader_gives_all_bytes_and_checks_them_at_the_end(store: Store) -> None:
    data = noise(5 * MIB)
    ref = put_object(store, "chunks", "large", data)
    reader = SequentialReader.open(store, ref, read_ahead=MIB)
    assert bytes(reader.read(10)) + bytes(reader.read(3 * MIB)) == data[: 3 * MIB + 10]
    reader.finish()
    wrong = ObjectRef(key=ref.key, size=ref.size, sha256="0" * 64)
    with pytest.raises(Fatal, match="altered"):
        SequentialReader.open(store, wrong).finish()

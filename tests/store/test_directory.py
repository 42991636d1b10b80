"""A directory as a store, on file systems that are not like ours."""

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from unecho.components.failure import Fatal
from unecho.components.store import Missing, open_store, read_object
from unecho.components.store import exclusive as exclusive_create
from unecho.components.store.directory import DirectoryStore


def refuse(code: int):
    def call(*arguments: object, **options: object) -> None:
        raise OSError(code, os.strerror(code))

    return call


@pytest.fixture(params=["renameat2", "lock file"])
def no_links(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "lock file":
        monkeypatch.setattr(exclusive_create, "_rename_noreplace", lambda temporary, path: None)
    monkeypatch.setattr(os, "link", refuse(errno.EPERM))


class TestWithoutHardLinks:
    @pytest.mark.parametrize("code", ["EPERM", "EOPNOTSUPP", "ENOSYS", "EMLINK", "EACCES", "EINVAL", "EXDEV"])
    def test_an_object_is_created_once(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
        monkeypatch.setattr(os, "link", refuse(getattr(errno, code)))
        store = DirectoryStore(tmp_path)
        assert store.create("a/record.json", b"mine")
        assert not store.create("a/record.json", b"theirs")
        assert store.get("a/record.json") == b"mine"

    @pytest.mark.usefixtures("no_links")
    def test_of_many_writers_one_wins_its_bytes_stand_and_nothing_is_left_over(self, tmp_path: Path) -> None:
        barrier = Barrier(8)

        def write(number: int) -> bool:
            barrier.wait()
            return DirectoryStore(tmp_path).create("record.json", b"%d" % number)

        with ThreadPoolExecutor(8) as threads:
            won = list(threads.map(write, range(8)))
        assert sum(won) == 1
        assert (tmp_path / "record.json").read_bytes() == b"%d" % won.index(True)
        assert os.listdir(tmp_path) == ["record.json"]

    def test_the_lock_of_a_process_that_was_killed_is_broken(self, tmp_path: Path, monkeypatch) -> None:
        monkeypatch.setattr(os, "link", refuse(errno.EPERM))
        monkeypatch.setattr(exclusive_create, "_rename_noreplace", lambda temporary, path: None)
        rename = os.rename
        monkeypatch.setattr(os, "rename", refuse(errno.EIO))
        monkeypatch.setattr(os, "unlink", refuse(errno.EIO))  # as if the process ended between lock and rename
        with pytest.raises(OSError, match=os.strerror(errno.EIO)):
            DirectoryStore(tmp_path).create("record.json", b"lost")
        monkeypatch.undo()
        monkeypatch.setattr(os, "link", refuse(errno.EPERM))
        monkeypatch.setattr(exclusive_create, "_rename_noreplace", lambda temporary, path: None)
        (lock,) = tmp_path.glob(".unecho-tmp-lock-*")
        os.utime(lock, (1, 1))
        assert os.rename is rename
        assert DirectoryStore(tmp_path).create("record.json", b"kept")
        assert [stat.key for stat in DirectoryStore(tmp_path).list("")] == ["record.json"]


@pytest.mark.parametrize("operation", ["put", "create"])
def test_an_object_is_on_the_disk_before_it_has_its_name_and_its_folder_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    events, fsync = [], os.fsync

    def seen(descriptor: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        events.append((path.relative_to(tmp_path).as_posix() if path.is_dir() else "file", (tmp_path / "a/b").exists()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", seen)
    getattr(DirectoryStore(tmp_path), operation)("a/b", b"x")
    assert events == [(".", False), ("file", False), ("a", True)]


@pytest.mark.parametrize("code", ["EINVAL", "EOPNOTSUPP"])
def test_a_file_system_that_cannot_sync_a_folder_is_used_all_the_same(tmp_path: Path, monkeypatch, code: str) -> None:
    fsync = os.fsync

    def only_files(descriptor: int) -> None:
        if Path(os.readlink(f"/proc/self/fd/{descriptor}")).is_dir():
            raise OSError(getattr(errno, code), "")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", only_files)
    assert DirectoryStore(tmp_path).create("a/b", b"x")


@pytest.mark.parametrize("code", ["ELOOP", "ENXIO", "ENOTSUP", "ENOSPC", "EROFS", "ENAMETOOLONG", "EFBIG", "ENODEV"])
def test_what_trying_again_cannot_cure_is_one_line_that_names_the_object(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    monkeypatch.setattr(os, "replace", refuse(getattr(errno, code)))
    with pytest.raises(Fatal, match=rf"^file://{tmp_path}/a: \w"):
        DirectoryStore(tmp_path).put("a", b"x")


def test_what_is_in_the_way_is_told(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    store.put("folder/object", b"x")
    (tmp_path / "loop").symlink_to("loop")
    for key, why in (
        ("folder", "a directory of that name is in the way"),
        ("folder/object/below", "a file is in the way, where a directory is needed"),
    ):
        with pytest.raises(Fatal, match=f"^{store.url}/{key}: {why}$"):
            store.put(key, b"x")
    with pytest.raises(Fatal, match=f"^{store.url}/loop: a link that leads back to itself$"):
        store.get("loop")
    with pytest.raises(Missing):
        store.get("folder")
    assert store.stat("folder") is None


def test_a_pipe_is_no_object_and_nobody_waits_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    store = DirectoryStore(tmp_path)
    assert list(store.list("")) == []
    with pytest.raises(Fatal, match="pipe: a pipe or a device, a file is needed"):
        store.get("pipe")


@pytest.mark.parametrize("name", ["pics #2", "100%", "%41", "a?b", "é", "日本", "a b", os.fsdecode(b"\xc9t\xe9")])
def test_an_address_of_a_directory_is_opened_as_the_same_directory(tmp_path: Path, name: str) -> None:
    store = open_store(str(tmp_path / name))
    store.put(name, b"x")
    assert open_store(store.url).path("") == tmp_path / name
    assert read_object(store.address(name)) == read_object(str(tmp_path / name / name)) == b"x"
    store.address(name).encode()  # can be printed

"""Keys with empty parts are keys like any other: read, listed and told by their name, or refused by it."""

import pytest

from tests.services.exact_s3 import exact_s3
from tests.services.s3 import bare
from unecho.components.failure import Fatal
from unecho.components.run import Run
from unecho.components.store import open_store, read_object

OBJECTS = {
    "/lead": b"1",
    "a//b": b"2",
    "a/b": b"3",
    "a/c/": b"4",
    "a/folder/": b"",
    "a/d//": b"5",
    "/x//y": b"6",
}


def serve(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    bare(monkeypatch)
    settings = {"ENDPOINT_URL_S3": endpoint, "ACCESS_KEY_ID": "key", "SECRET_ACCESS_KEY": "secret"}
    for name, value in settings.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("UNECHO_S3_PATIENCE_S", "0.2")


@pytest.mark.parametrize(
    ("address", "keys"),
    [
        ("s3://bucket", {"/lead": b"1", "/x//y": b"6", "a//b": b"2", "a/b": b"3", "a/c/": b"4", "a/d//": b"5"}),
        ("s3://bucket/", {"/lead": b"1", "/x//y": b"6", "a//b": b"2", "a/b": b"3", "a/c/": b"4", "a/d//": b"5"}),
        ("s3://bucket/a", {"/b": b"2", "b": b"3", "c/": b"4", "d//": b"5"}),
        ("s3://bucket/a/", {"/b": b"2", "b": b"3", "c/": b"4", "d//": b"5"}),
        ("s3://bucket//x", {"/y": b"6"}),
    ],
)
def test_what_is_listed_is_what_is_read_whatever_slashes_a_key_has(
    address: str, keys: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    with exact_s3("bucket", OBJECTS) as (endpoint, _):
        serve(monkeypatch, endpoint)
        store = open_store(address)
        assert {stat.key: store.get(stat.key) for stat in store.list("")} == keys
        again = open_store(store.url)  # as the processes that decode images do
        for key, data in keys.items():
            buffer = bytearray(1)
            again.read_into(key, 0, memoryview(buffer))
            assert bytes(buffer) == data
            assert OBJECTS[store.address(key).removeprefix("s3://bucket/")] == data, "told by its own name"
        with pytest.raises(Fatal, match=f"^{address.rstrip('/')}/no//such: no such object$"):
            store.get("no//such")


def test_one_object_is_read_by_its_whole_address(monkeypatch: pytest.MonkeyPatch) -> None:
    with exact_s3("bucket", OBJECTS) as (endpoint, _):
        serve(monkeypatch, endpoint)
        addresses = {f"s3://bucket/{key}": data for key, data in OBJECTS.items()}
        assert {address: read_object(address) for address in addresses} == addresses
        assert read_object("s3://bucket/a///b") is None


@pytest.mark.parametrize(
    ("address", "line"),
    [
        ("s3://bucket/a//", "s3://bucket/a//: an address ends in one '/' at most"),
        ("s3://bucket//", "s3://bucket//: an address ends in one '/' at most"),
        ("s3://bucket/a/../b", "s3://bucket/a/../b: an address has no part '.' or '..'"),
    ],
)
def test_an_address_that_could_mean_two_things_is_refused_by_name(
    address: str, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(monkeypatch, "http://127.0.0.1:9")
    with pytest.raises(Fatal) as caught:
        open_store(address)
    assert str(caught.value).startswith(line)


def test_nothing_is_written_or_removed_by_a_key_with_an_empty_part(monkeypatch: pytest.MonkeyPatch) -> None:
    with exact_s3("bucket", OBJECTS) as (endpoint, asked):
        serve(monkeypatch, endpoint)
        for address, key in (("s3://bucket/a", "/b"), ("s3://bucket", "a//b"), ("s3://bucket//x", "b")):
            store = open_store(address)
            name = f"{address}/{key}"
            for write in (lambda s, k: s.put(k, b"x"), lambda s, k: s.create(k, b"x"), lambda s, k: s.delete([k])):
                with pytest.raises(Fatal, match=f"^{name}: a key is a relative path without empty parts"):
                    write(store, key)
        assert not asked


def test_a_run_is_not_looked_for_below_another_root(monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, "http://127.0.0.1:9")
    with pytest.raises(Fatal, match=r"^run: 's3://bucket/a//runs/x': an empty part \(//\) before runs/"):
        Run.parse("s3://bucket/a//runs/x")


def test_a_server_that_takes_a_key_for_another_is_told_and_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    with exact_s3("bucket", {"/x//y": b"6"}, joins=True) as (endpoint, _):
        serve(monkeypatch, endpoint)
        with pytest.raises(Fatal, match="lists /x/y there: it takes keys with empty parts"):
            list(open_store("s3://bucket//x/").list("/y"))

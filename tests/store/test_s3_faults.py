"""The store goes on when the network and the server do not: the same bytes, or one line and nothing lost."""

import hashlib
import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import urllib3

from tests.services.proxy import Fault, Proxy, Request
from tests.services.s3 import BUCKET, S3
from unecho.components.failure import Fatal
from unecho.components.store import Store, fetch, open_store, put_object
from unecho.components.store.s3.connection import Unreachable
from unecho.components.store.s3.transfer import NEAR, READ_PART, WRITE_PART

MIB = 1 << 20
DATA = hashlib.shake_128(b"data").digest(2 * WRITE_PART + 999)
SMALL = DATA[:50_000]


@pytest.fixture
def store(proxy: Proxy, s3_root: str) -> Store:
    return open_store(s3_root)


def is_part(request: Request) -> bool:
    return "partNumber=" in request.path


def is_completion(request: Request) -> bool:
    return request.method == "POST" and "uploadId=" in request.path


def test_a_burst_of_refusals_is_survived_by_every_operation(store: Store, proxy: Proxy) -> None:
    def burst() -> None:
        proxy.inject(Fault(answer=(503, "SlowDown"), reaches=False), times=2)

    buffer = bytearray(100)
    burst()
    store.put("object", SMALL)
    burst()
    assert store.get("object") == SMALL
    burst()
    store.read_into("object", 7, memoryview(buffer))
    assert buffer == SMALL[7:107]
    burst()
    assert store.create("record.json", b"x")
    burst()
    assert [stat.key for stat in store.list("")] == ["object", "record.json"]
    burst()
    store.delete(["object"])
    burst()
    assert store.stat("object") is None


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (500, "InternalError"),
        (502, ""),
        (504, ""),
        (429, "TooManyRequests"),
        (409, "OperationAborted"),
        (400, "RequestTimeout"),
    ],
)
def test_every_refusal_that_may_pass_is_tried_again(store: Store, proxy: Proxy, status: int, code: str) -> None:
    proxy.inject(Fault(answer=(status, code), reaches=False), "PUT", times=1)
    store.put("object", SMALL)
    assert store.get("object") == SMALL


@pytest.mark.parametrize(
    ("size", "cut_at"),
    [(len(SMALL), -1), (len(SMALL), 0), (len(SMALL), 1), (len(SMALL), 30_000), (len(DATA), -1), (len(DATA), 30_000)],
)
def test_an_answer_that_is_cut_is_gone_on_with(store: Store, proxy: Proxy, size: int, cut_at: int) -> None:
    store.put("object", DATA[:size])
    proxy.inject(Fault(cut_at=cut_at), "GET", times=2)
    assert store.get("object") == DATA[:size]
    proxy.inject(Fault(cut_at=cut_at), "GET", times=2)
    buffer = bytearray(size - 11)
    store.read_into("object", 11, memoryview(buffer))
    assert buffer == DATA[11:size]


def test_a_cut_answer_is_not_read_anew_from_its_start(store: Store, proxy: Proxy) -> None:
    store.put("object", DATA[:READ_PART])
    proxy.inject(Fault(cut_at=6 * MIB), "GET", times=1)
    buffer = bytearray(READ_PART)
    store.read_into("object", 0, memoryview(buffer))
    assert buffer == DATA[:READ_PART]
    second = [request for request in proxy.requests if request.method == "GET"][1]
    start, _, stop = second.headers["range"].removeprefix("bytes=").partition("-")
    assert (int(start) > 0, int(stop)) == (True, READ_PART - 1)


@pytest.mark.parametrize("reaches", [False, True], ids=["request lost", "answer lost"])
def test_a_put_is_repeated_when_its_connection_is_cut(store: Store, proxy: Proxy, reaches: bool) -> None:
    proxy.inject(Fault(cut_at=-1, reaches=reaches), "PUT", times=2)
    store.put("object", SMALL)
    assert store.get("object") == SMALL


def test_of_a_large_object_only_the_parts_that_failed_are_sent_again(store: Store, proxy: Proxy) -> None:
    proxy.inject(Fault(answer=(503, "SlowDown"), reaches=False), is_part, times=1)
    proxy.inject(Fault(cut_at=-1), is_part, times=1)
    store.put("object", DATA)
    assert store.get("object") == DATA
    assert proxy.count(is_part) == 3 + 2  # three parts; one refused, one whose answer was lost


def test_a_completion_whose_answer_is_lost_ends_with_the_object(store: Store, proxy: Proxy) -> None:
    proxy.inject(Fault(cut_at=-1), is_completion, times=1)
    store.put("object", DATA)
    assert store.get("object") == DATA


def test_an_upload_that_the_server_lost_is_begun_anew(store: Store, proxy: Proxy) -> None:
    proxy.inject(Fault(answer=(404, "NoSuchUpload"), reaches=False), is_completion, times=1)
    store.put("object", DATA)
    assert store.get("object") == DATA


def test_bytes_that_change_on_their_way_to_the_server_are_sent_again(s3: S3, store: Store, proxy: Proxy) -> None:
    proxy.inject(Fault(answer=(400, "BadDigest"), reaches=False), "PUT", times=1)
    store.put("object", SMALL)
    assert store.get("object") == SMALL
    digest = proxy.requests[0].headers["content-md5"]  # what lets the server notice: it does
    other = s3.client().presigned_put_object(BUCKET, "other")
    answer = urllib3.request("PUT", other, body=SMALL[1:], headers={"Content-MD5": digest})
    assert (answer.status, b"BadDigest" in answer.data) == (400, True)


@pytest.mark.parametrize("reaches", [False, True], ids=["request lost", "answer lost"])
def test_create_wins_once_though_its_connection_is_cut(store: Store, proxy: Proxy, reaches: bool) -> None:
    proxy.inject(Fault(cut_at=-1, reaches=reaches), "PUT", times=1)
    assert store.create("record.json", b"mine")
    assert not store.create("record.json", b"another")
    assert store.get("record.json") == b"mine"


def test_create_loses_to_another_writer_though_its_first_connection_was_cut(
    s3: S3, proxy: Proxy, s3_root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = open_store(s3_root)
    s3.point(monkeypatch)
    assert open_store(s3_root).create("record.json", b"theirs")
    proxy.inject(Fault(cut_at=-1, reaches=False), "PUT", times=1)
    assert not slow.create("record.json", b"mine")
    assert slow.get("record.json") == b"theirs"


def test_eight_writers_behind_a_bad_line_have_one_winner(proxy: Proxy, s3_root: str) -> None:
    proxy.inject(Fault(cut_at=-1, reaches=True), "PUT", times=3)
    proxy.inject(Fault(cut_at=-1, reaches=False), "PUT", times=3)
    with ThreadPoolExecutor(8) as threads:
        won = list(threads.map(lambda number: open_store(s3_root).create("record.json", b"%d" % number), range(8)))
    assert sum(won) == 1
    assert open_store(s3_root).get("record.json") == b"%d" % won.index(True)


def test_a_byte_that_flips_on_its_way_once_is_read_again(store: Store, proxy: Proxy) -> None:
    ref = put_object(store, "runs/x", "weights", SMALL)
    proxy.inject(Fault(flip=12_345), "GET", times=1)
    assert fetch(store, ref) == SMALL


def test_a_byte_that_stays_flipped_is_told_by_the_object_that_has_it(store: Store, proxy: Proxy) -> None:
    ref = put_object(store, "runs/x", "weights", SMALL)
    proxy.inject(Fault(flip=12_345), "GET")
    with pytest.raises(
        Fatal, match=f"^{store.url}/{ref.key}: altered: SHA-256 .*, its manifest says {ref.sha256[:16]}"
    ):
        fetch(store, ref)


def test_latency_changes_nothing_and_large_reads_wait_side_by_side(store: Store, proxy: Proxy) -> None:
    store.put("object", DATA)
    proxy.inject(Fault(delay_s=0.2), "GET")
    proxy.most_at_once = 0
    assert store.get("object") == DATA  # READ_PART at first, then the other four at once
    assert proxy.most_at_once == 4


def test_a_server_that_falls_silent_is_given_up_when_patience_ends(
    proxy: Proxy, s3_root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNECHO_S3_PATIENCE_S", "1")
    proxy.inject(Fault(delay_s=3600))
    begun = time.monotonic()
    with pytest.raises(Unreachable, match=f"^{proxy.endpoint}: out of reach, tried for .* Read timed out"):
        open_store(s3_root).get("object")
    assert time.monotonic() - begun < 10


def test_one_hopeless_part_ends_a_large_transfer_at_once(store: Store, proxy: Proxy) -> None:
    store.put("object", DATA)
    proxy.inject(Fault(answer=(403, "AccessDenied")), lambda r: f"bytes={READ_PART}-" in r.headers.get("range", ""))
    proxy.inject(Fault(answer=(503, "SlowDown")), lambda r: f"bytes={2 * READ_PART}-" in r.headers.get("range", ""))
    begun = time.monotonic()
    with pytest.raises(Fatal, match="forbidden: s3:GetObject"):
        store.get("object")
    assert time.monotonic() - begun < 20  # patience with the 503 would be 300 s


def test_a_listing_goes_on_where_a_page_failed(s3: S3, store: Store, proxy: Proxy) -> None:
    keys = [f"{number:04}" for number in range(1100)]
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(lambda key: store.put(key, b""), keys))
    listed = store.list("")
    pages = proxy.count("GET")
    proxy.inject(Fault(cut_at=1000), "GET", times=1)
    proxy.inject(Fault(answer=(503, "SlowDown")), lambda request: "continuation-token" in request.path, times=1)
    assert [stat.key for stat in listed] == keys
    assert proxy.count("GET") - pages == 2 + 2  # two pages, two failures


ROW = 3072


@pytest.mark.parametrize(
    ("rows", "requests"),
    [
        (range(1000), 1),  # all of a chunk
        (range(0, 1000, 5), 1),  # a fifth of it
        ([0, 1, 2, 900, 901, 902], 2),  # two places far from each other
        ([0, NEAR // ROW + 1, 2 * (NEAR // ROW + 1)], 1),  # just near enough
        ([0, NEAR // ROW + 2, 2 * (NEAR // ROW + 2)], 3),  # just not
        ([5], 1),
        ([], 0),
    ],
)
def test_near_rows_are_read_with_one_request(store: Store, proxy: Proxy, rows: list[int], requests: int) -> None:
    chunk = DATA[: 1000 * ROW]
    store.put("chunk", chunk)
    before = proxy.count("GET")
    buffers = [bytearray(ROW) for _ in rows]
    store.read_ranges("chunk", [(row * ROW, memoryview(buffer)) for row, buffer in zip(rows, buffers, strict=True)])
    assert buffers == [chunk[row * ROW : (row + 1) * ROW] for row in rows]
    assert proxy.count("GET") - before == requests


def test_connections_are_bounded(proxy: Proxy, s3_root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNECHO_S3_CONNECTIONS", "3")
    store = open_store(s3_root)
    store.put("object", SMALL)

    def sockets() -> int:
        count = 0
        for name in os.listdir("/proc/self/fd"):
            with pytest.MonkeyPatch.context():
                try:
                    count += os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
                except OSError:
                    continue
        return count

    before = sockets()
    with ThreadPoolExecutor(12) as threads:
        assert set(threads.map(lambda _: store.get("object"), range(48))) == {SMALL}
    assert sockets() - before <= 3 * 3  # ours, the proxy's to us, and the proxy's to the server

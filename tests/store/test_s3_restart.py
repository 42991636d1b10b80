"""A server that is killed with SIGKILL and comes back: what it had acknowledged is there, and work goes on."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from tests.services.proxy import Fault, Proxy, Request
from tests.services.s3 import BUCKET, S3
from unecho.components.store import Store, open_store
from unecho.components.store.s3.transfer import WRITE_PART

LARGE = hashlib.shake_128(b"large").digest(2 * WRITE_PART + 99)


@pytest.fixture
def store(mortal: S3, monkeypatch: pytest.MonkeyPatch) -> Store:
    mortal.point(monkeypatch)
    return open_store(f"s3://{BUCKET}/{id(monkeypatch)}")


def kill_and_restart(mortal: S3) -> None:
    assert mortal.server is not None
    mortal.server.kill()
    mortal.server.start(wait=False)


def test_small_objects_and_records_survive_a_kill_in_the_middle_of_their_writing(mortal: S3, store: Store) -> None:
    half_way = Event()

    def write_and_read(number: int) -> bool:
        if number == 60:
            half_way.set()
        data = b"%d" % number * 1000
        store.put(f"objects/{number}", data)
        won = store.create(f"records/{number}.json", data)
        return won and store.get(f"objects/{number}") == data

    with ThreadPoolExecutor(8) as threads:
        results = threads.map(write_and_read, range(120))
        half_way.wait()
        kill_and_restart(mortal)
        assert all(results)
    for number in range(120):
        assert store.get(f"records/{number}.json") == store.get(f"objects/{number}") == b"%d" % number * 1000


@pytest.mark.parametrize("moment", ["PUT", "GET"])
def test_a_large_object_survives_a_kill_in_the_middle_of_its_transfer(
    mortal: S3, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Proxy(mortal.endpoint) as proxy, ThreadPoolExecutor(1) as threads:
        mortal.point(monkeypatch, proxy.endpoint)
        store = open_store(f"s3://{BUCKET}/{moment}")
        seen = Event()

        def watch(request: Request) -> bool:
            if request.method == moment and ("partNumber=2" in request.path or "range" in request.headers):
                seen.set()
            return False  # no fault but the kill

        proxy.inject(Fault(), watch)
        done = threads.submit(lambda: (store.put("large", LARGE), store.get("large"))[1])
        seen.wait()
        kill_and_restart(mortal)
        assert done.result() == LARGE

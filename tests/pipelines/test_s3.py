"""Whole runs on a real S3 server: the bytes of a directory's run, whatever the server and the network do."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from tests.runs import fingerprint, finish, start, tiny
from tests.services.proxy import Fault, Proxy, Request
from tests.services.s3 import BUCKET, IDENTITIES, S3
from unecho.components.data import Dataset
from unecho.components.failure import Fatal
from unecho.components.plan.step import plan
from unecho.components.run import Assignment, ProxyRecord, Run
from unecho.components.run.tensors import load_state
from unecho.components.steps import run_step
from unecho.components.store.s3.store import S3Store

CONFIG = tiny()


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What a run on a directory computes."""
    run = Run.at(str(tmp_path_factory.mktemp("directory")), "a")
    finish(run, CONFIG)
    return list(fingerprint(run).values())


def computed(run: Run) -> list[str]:
    return list(fingerprint(run).values())


def to_round_1(run: Run) -> None:
    """Everything up to the models and assignments of round 1."""
    plan(run, CONFIG)
    for name in ("prepare", "initialize", "shard"):
        run_step(name, run)
    run_step("begin", run, 0)
    for shard in range(2):
        run_step("train", run, 0, shard)
    run_step("aggregate", run, 0)


def test_a_run_gives_the_bytes_that_it_gives_on_a_directory(s3_root: str, expected: list[str]) -> None:
    run = Run.at(s3_root, "a")
    finish(run, CONFIG)
    assert computed(run) == expected


def test_a_read_cache_changes_nothing_but_what_is_read(s3_root: str, expected: list[str], tmp_path: Path) -> None:
    run = Run.at(s3_root, "a")
    config = tiny(f"execution.cache_dir={tmp_path / 'cache'}")
    finish(run, config)
    assert computed(run) == expected
    assert any((tmp_path / "cache").iterdir())
    assert isinstance(run.dataset(config), Dataset)


def test_a_pod_whose_cache_survived_reads_only_the_rows_that_are_new_to_its_shard(
    s3_root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run.at(s3_root, "a")
    to_round_1(run)
    # redistribution as it may come out: a fifth of shard 0 is exchanged for a fifth of shard 1
    shard = load_state(run.store, run.load(Assignment, 0).objects["assignment.safetensors"])["shard"].numpy()
    before, other = np.flatnonzero(shard == 0), np.flatnonzero(shard == 1)
    after = np.sort(np.concatenate([before[10:], other[:10]]))
    config = tiny(f"execution.cache_dir={tmp_path}")
    run.dataset(config).rows(before)
    dataset = run.dataset(config)  # the pod of the next round, on the same volume
    asked: list[int] = []
    read_ranges = S3Store.read_ranges

    def counted(store: S3Store, key: str, ranges: Sequence[tuple[int, memoryview]]) -> None:
        asked.append(sum(len(target) for _, target in ranges))
        read_ranges(store, key, ranges)

    monkeypatch.setattr(S3Store, "read_ranges", counted)
    images = dataset.rows(after)
    assert sum(asked) == 10 * 8 * 8
    assert len(after) * 8 * 8 == images.size > 38 * 8 * 8
    monkeypatch.undo()
    assert (images == run.dataset(tiny()).rows(after)).all()


def test_redistribution_writes_one_assignment_and_reads_no_image_and_no_model(proxy: Proxy, s3_root: str) -> None:
    run = Run.at(s3_root, "a")
    to_round_1(run)
    keys = {stat.key for stat in run.store.list("")}
    proxy.requests.clear()
    record = run_step("redistribute", run, 0)
    new = {stat.key for stat in run.store.list("")} - keys
    assert new == {"runs/a/assignments/1.json", record.objects["assignment.safetensors"].key}
    read = [request.path for request in proxy.requests if request.method == "GET" and "list-type" not in request.path]
    assert not [path for path in read if "datasets/" in path or "/models/" in path or "raw." in path or "ema." in path]


STEPS = {
    "prepare": "datasets/",
    "initialize": "/models/0/",
    "shard": "/assignments/0/",
    "begin": "/begins/1.json",
    "train": "/proxies/1/0/",
    "aggregate": "/models/2/",
    "redistribute": "/assignments/2/",
    "sample": "/samples/3/1/",
    "evaluate": "/release/",
}


def test_a_server_killed_and_back_in_every_step_costs_nothing_but_time(
    mortal: S3, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the first write of each step the server is killed by SIGKILL, and started again on its data."""
    assert mortal.server is not None
    server, waiting, restarts = mortal.server, dict(STEPS), list[Thread]()

    def strike(request: Request) -> bool:
        step = next((s for s, part in waiting.items() if part in request.path), None)
        if request.method == "PUT" and step is not None:
            del waiting[step]
            server.kill()
            restarts.append(Thread(target=lambda: server.start(wait=False)))
            restarts[-1].start()
        return False

    with Proxy(mortal.endpoint) as proxy:
        mortal.point(monkeypatch, proxy.endpoint)
        proxy.inject(Fault(), strike)
        run = Run.at(f"s3://{BUCKET}/killed", "a")
        finish(run, CONFIG)
        for restart in restarts:
            restart.join()
        assert waiting == {}
        assert computed(run) == expected


@pytest.mark.parametrize(
    "fault",
    [
        Fault(answer=(503, "SlowDown"), reaches=False),
        Fault(answer=(429, "TooManyRequests"), reaches=False),
        Fault(cut_at=20),
        Fault(cut_at=-1),  # the server has done it, the answer is lost
        Fault(delay_s=0.05),
    ],
    ids=["503", "429", "cut in mid-body", "answer lost", "latency"],
)
def test_a_run_survives_a_network_that_fails_one_request_in_five(
    fault: Fault, proxy: Proxy, s3_root: str, expected: list[str]
) -> None:
    seen = 0

    def every_fifth(request: Request) -> bool:
        nonlocal seen
        seen += 1
        return seen % 5 == 0

    proxy.inject(fault, every_fifth)
    run = Run.at(s3_root, "a")
    finish(run, CONFIG)
    proxy.heal()
    assert seen > 200
    assert computed(run) == expected


def test_a_byte_flipped_on_its_way_is_read_again(proxy: Proxy, s3_root: str, expected: list[str]) -> None:
    """Chunks, indices, assignments, optimizer state and images are spoilt, each at its first reading."""
    spoilt: set[str] = set()

    def first_reading(request: Request) -> bool:
        path = request.path.partition("?")[0]
        read_whole = not path.endswith(("raw.safetensors", "ema.safetensors", ".json")) and BUCKET in path
        if request.method != "GET" or "list-type" in request.path or not read_whole or path in spoilt:
            return False
        spoilt.add(path)
        return True

    proxy.inject(Fault(flip=70), first_reading)
    run = Run.at(s3_root, "a")
    finish(run, CONFIG)
    assert len(spoilt) > 15
    assert computed(run) == expected


@pytest.mark.parametrize("damage", ["altered", "truncated", "missing"])
def test_a_damaged_object_is_named_in_one_line_and_once_it_is_back_the_run_ends_as_ever(
    damage: str, s3_root: str, expected: list[str]
) -> None:
    run = Run.at(s3_root, "a")
    to_round_1(run)
    key = run.load(ProxyRecord, 0, 1).objects["statistics.safetensors"].key
    good = run.store.get(key)
    if damage == "missing":
        run.store.delete([key])
    else:
        run.store.put(key, good[:-3] if damage == "truncated" else bytes([good[0], good[1] ^ 1]) + good[2:])
    with pytest.raises(Fatal) as told:
        finish(run, CONFIG)
    assert key in str(told.value)
    assert "\n" not in str(told.value)
    run.store.put(key, good)
    finish(run, CONFIG)
    assert computed(run) == expected


def test_a_bucket_that_turns_read_only_is_one_line_and_once_it_is_not_the_run_ends_as_ever(
    s3: S3, s3_root: str, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if s3.server is None:
        pytest.skip("needs a second key without write permission: unset UNECHO_TEST_S3_ENDPOINT")
    run = Run.at(s3_root, "a")
    to_round_1(run)
    with monkeypatch.context() as reader:
        reader.setenv("AWS_ACCESS_KEY_ID", "unecho-reader")
        reader.setenv("AWS_SECRET_ACCESS_KEY", IDENTITIES["unecho-reader"][0])
        with pytest.raises(Fatal, match=r"runs/a/"):
            finish(Run.at(s3_root, "a"), CONFIG)
    finish(run, CONFIG)
    assert computed(run) == expected


def test_a_full_bucket_is_one_line_and_once_there_is_room_the_run_ends_as_ever(
    proxy: Proxy, s3_root: str, expected: list[str]
) -> None:
    run = Run.at(s3_root, "a")
    to_round_1(run)
    proxy.inject(
        Fault(answer=(507, "XMinioStorageFull"), reaches=False), lambda request: request.method in ("PUT", "POST")
    )
    with pytest.raises(Fatal) as told:
        finish(Run.at(s3_root, "a"), CONFIG)
    assert "runs/a/" in str(told.value)
    proxy.heal()
    finish(run, CONFIG)
    assert computed(run) == expected


def test_two_runs_at_one_address_at_once_do_not_spoil_each_other(
    s3: S3, s3_root: str, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    both = [start(s3_root, "a", CONFIG) for _ in range(2)]
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0]
    assert computed(Run.at(s3_root, "a")) == expected


def test_the_secret_key_of_a_run_is_nowhere_to_be_read(s3: S3, s3_root: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "unecho", "run", "--preset", "tiny", "--root", s3_root, "--name", "a"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=tmp_path)
    arguments = Path(f"/proc/{process.pid}/cmdline").read_bytes()
    printed, _ = process.communicate()
    assert process.returncode == 0, printed.decode()
    assert b"unecho pull " in printed
    store = Run.at(s3_root, "a").store
    written = {stat.key: store.get(stat.key) for stat in store.list("")}
    assert len(written) > 30
    secret = s3.secret_key.encode()
    for where, data in {"its arguments": arguments, "its output": printed, **written}.items():
        assert secret not in data, where
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or secret not in path.read_bytes()

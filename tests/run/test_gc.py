"""What gc takes for a left-over: everything that no manifest names, and nothing else."""

import json
import os
import random
import signal
import time
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest

from tests.runs import fingerprint, finish, start, tiny
from tests.services.proxy import Fault, Proxy, Request
from unecho.components.run import BeginRecord, ProxyRecord, Run
from unecho.components.run.gc import Manifests, Reason, leftovers, remove
from unecho.components.store import Store, open_store

CONFIG = tiny("execution.checkpoint_every_s=1e-9")
LATER = float("inf")


@pytest.fixture(scope="module")
def unkilled(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = Run.at(str(tmp_path_factory.mktemp("unkilled")), "a")
    finish(run, CONFIG)
    return run


def found(store: Store, before: float = LATER, *, abandoned: bool = False) -> dict[str, Reason]:
    return {one.stat.key: one.why for one in leftovers(Manifests(store).read(), before, abandoned=abandoned)}


def collect(store: Store, before: float = LATER, *, abandoned: bool = False) -> set[str]:
    """What `unecho gc --delete` does; returns the keys that are gone."""
    manifests = Manifests(store)
    listed = leftovers(manifests.read(), before, abandoned=abandoned)
    return {one.stat.key for one in remove(store, manifests, listed, before, abandoned=abandoned)}


def test_a_run_that_was_not_disturbed_leaves_nothing_over(unkilled: Run) -> None:
    assert found(unkilled.store) == {}


POINTS = {
    "prepare": ("create", "datasets/", 1, False),
    "train, between a checkpoint's object and its manifest": ("put", "checkpoints/1/0", 3, True),
    "train, between objects and manifest": ("create", "proxies/1/1.json", 1, False),
    "train, before its checkpoints are gone": ("create", "proxies/0/0.json", 1, True),
    "aggregate": ("create", "models/2.json", 1, False),
    "begin's retirement": ("delete", "proxies/0/1/", 2, False),
    "evaluate": ("create", "reports/3.json", 1, False),
}


@pytest.mark.parametrize("point", POINTS)
def test_after_a_kill_gc_removes_what_nobody_names_and_the_run_ends_with_the_same_bytes(
    point: str, unkilled: Run, tmp_path: Path
) -> None:
    killed = start(tmp_path, "a", CONFIG, POINTS[point])
    killed.join()
    assert killed.exitcode == -signal.SIGKILL, "the run ended before the point was reached"
    run = Run.at(str(tmp_path), "a")
    keys = {stat.key for stat in run.store.list("")}
    gone = collect(run.store)
    assert {stat.key for stat in run.store.list("")} == keys - gone
    assert not [key for key in gone if key.startswith("runs/a/") and key.count("/") == 3 and key.endswith(".json")]
    finish(run, CONFIG)
    assert fingerprint(run) == fingerprint(unkilled)
    collect(run.store)
    assert found(run.store) == {}
    # the report tells when it was made; all else is what an undisturbed run holds
    held = [{stat.key for stat in r.store.list("runs/") if "/reports/3/" not in stat.key} for r in (run, unkilled)]
    assert held[0] == held[1]


def collect_and_check(store: Store) -> None:
    """Collect; everything that a manifest names is still there."""
    keys, named = {stat.key for stat in store.list("")}, Manifests(store).read()
    gone = collect(store)
    assert {stat.key for stat in store.list("")} == keys - gone
    assert not gone & (named.named - named.retired)


def check_end(run: Run, unkilled: Run) -> None:
    """The run goes on to the end of one that nobody disturbed, and nothing is left over."""
    finish(run, CONFIG)
    assert list(fingerprint(run).values()) == list(fingerprint(unkilled).values())
    collect_and_check(run.store)
    assert found(run.store) == {}


@pytest.mark.parametrize("seed", range(3))
def test_after_kills_at_random_moments_each_followed_by_gc_the_run_ends_as_ever(
    seed: int, unkilled: Run, tmp_path: Path
) -> None:
    dice, run = random.Random(seed), Run.at(str(tmp_path), "a")
    for _ in range(3):
        operation = dice.choice(["put", "create", "delete"])
        start(tmp_path, "a", CONFIG, (operation, "", dice.randrange(1, 40), dice.random() < 0.5)).join()
        collect_and_check(run.store)
    check_end(run, unkilled)


def test_the_same_on_s3(proxy: Proxy, s3_root: str, unkilled: Run) -> None:
    dice, run = random.Random(0), Run.at(s3_root, "a")
    for _ in range(2):
        process, left = start(s3_root, "a", CONFIG), dice.randrange(20, 60)

        def strike(request: Request, process: ForkServerProcess = process) -> bool:
            nonlocal left
            left -= request.method in ("PUT", "POST", "DELETE")
            if left == 0:
                process.kill()
            return False

        proxy.inject(Fault(), strike)
        process.join()
        assert process.exitcode == -signal.SIGKILL, "the run ended before the moment was reached"
        proxy.heal()
        collect_and_check(run.store)
    check_end(run, unkilled)


def test_what_was_written_since_is_spared(unkilled: Run) -> None:
    now = time.time()
    key = unkilled.put(ProxyRecord, (0, 0), "raw.safetensors", b"a zombie's").key
    assert found(unkilled.store, before=now - 1) == {}
    assert found(unkilled.store) == {key: Reason.UNNAMED}
    assert collect(unkilled.store) == {key}


def test_files_of_somebody_else_are_never_left_over(unkilled: Run) -> None:
    theirs = ["runs/a/notes.txt", "runs/readme.md", "datasets/mine.csv", "runs/a/proxies/0/0/notes.txt", "x"]
    for key in theirs:
        unkilled.store.put(key, b"mine")
    assert found(unkilled.store) == {}
    unkilled.store.delete(theirs)


def test_chunks_that_no_data_set_names_and_retired_objects_that_are_back_go(unkilled: Run) -> None:
    chunk = f"datasets/chunks/{'0' * 64}"
    back = unkilled.load(BeginRecord, 2).retired[0]
    for key in (chunk, back):
        unkilled.store.put(key, b"again")
    assert found(unkilled.store) == {chunk: Reason.UNNAMED_DATA, back: Reason.RETIRED}
    assert collect(unkilled.store) == {chunk, back}
    assert found(unkilled.store) == {}


def test_the_progress_of_a_proxy_that_is_not_committed_stays_until_it_is_given_up(tmp_path: Path) -> None:
    # the thread that writes checkpoints is the one that strikes: it is at no other place then
    killed = start(tmp_path, "a", CONFIG, ("put", "checkpoints/1/1/", 2, True))
    killed.join()
    assert killed.exitcode == -signal.SIGKILL
    store = open_store(str(tmp_path))
    progress = {stat.key for stat in store.list("runs/a/checkpoints/1/1/")}
    assert len(progress) == 2  # a state and its manifest
    assert not progress & collect(store)
    assert {key for key, why in found(store, abandoned=True).items() if why is Reason.ABANDONED} == progress
    assert collect(store, abandoned=True) == progress
    finish(Run(store, "a"), CONFIG)


def test_the_progress_of_a_prepare_that_did_not_end_keeps_its_chunks_until_it_is_given_up(
    unkilled: Run, tmp_path: Path
) -> None:
    killed = start(tmp_path, "a", CONFIG, ("put", "parts/", 1, True))
    killed.join()
    assert killed.exitcode == -signal.SIGKILL
    store = open_store(str(tmp_path))
    parts = [stat.key for stat in store.list("datasets/progress/") if "/parts/" in stat.key]
    progress = {json.loads(store.get(key))["chunk"]["object"]["key"] for key in parts} | set(parts)
    assert len(progress) == 2  # a chunk and the record that names it
    assert not progress & found(store).keys()
    assert progress <= found(store, abandoned=True).keys()
    os.utime(tmp_path / next(iter(progress - set(parts))), (0, 0))  # the chunk is old, its record is young
    assert not collect(store, before=1, abandoned=True), "what was added to since is not given up"
    assert progress <= collect(store, abandoned=True)
    run = Run(store, "a")
    finish(run, CONFIG)
    assert fingerprint(run) == fingerprint(unkilled)


def test_what_a_run_takes_up_between_listing_and_removal_is_spared(unkilled: Run, tmp_path: Path) -> None:
    """A chunk that was a left-over when it was listed is named by a data set when it would be removed."""
    store = open_store(str(tmp_path))
    chunks = [stat.key for stat in unkilled.store.list("datasets/chunks/")]
    for key in chunks:
        store.put(key, unkilled.store.get(key))
    manifests = Manifests(store)
    listed = leftovers(manifests.read(), LATER)
    assert [one.stat.key for one in listed] == chunks
    for stat in unkilled.store.list("datasets/"):
        if stat.key not in chunks:
            store.put(stat.key, unkilled.store.get(stat.key))
    assert list(remove(store, manifests, listed, LATER)) == []
    assert [stat.key for stat in store.list("datasets/chunks/")] == chunks

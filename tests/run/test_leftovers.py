"""What gc takes for a left-over: everything that no manifest names, and nothing else."""

import time
from pathlib import Path

import pytest

from components.run import BeginRecord, ProxyRecord, Run
from components.run.leftovers import Why, leftovers
from components.run.naming import Naming
from components.run.removal import remove
from components.store import Store, open_store
from tests.runs import fingerprint, finish, start, tiny

CONFIG = tiny("execution.checkpoint_every_s=1e-9")
LATER = float("inf")


@pytest.fixture(scope="module")
def unkilled(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = Run.at(str(tmp_path_factory.mktemp("unkilled")), "a")
    finish(run, CONFIG)
    return run


def found(store: Store, before: float = LATER, *, abandoned: bool = False) -> dict[str, Why]:
    return {one.stat.key: one.why for one in leftovers(Naming(store).look(), before, abandoned=abandoned)}


def collect(store: Store, before: float = LATER, *, abandoned: bool = False) -> set[str]:
    """What `unecho gc --delete` does; returns the keys that are gone."""
    naming = Naming(store)
    listed = leftovers(naming.look(), before, abandoned=abandoned)
    return {one.stat.key for one in remove(store, naming, listed, before, abandoned=abandoned)}


def test_a_run_that_was_not_disturbed_leaves_nothing_over(unkilled: Run) -> None:
    assert found(unkilled.store) == {}


POINTS = {
    "prepare": ("create", "datasets/", 1, False),
    "train, in the middle": ("put", "checkpoints/1/0", 5, True),
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


def test_what_was_written_since_is_spared(unkilled: Run) -> None:
    now = time.time()
    key = unkilled.put(ProxyRecord, (0, 0), "raw.safetensors", b"a zombie's").key
    assert found(unkilled.store, before=now - 1) == {}
    assert found(unkilled.store) == {key: Why.UNNAMED}
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
    assert found(unkilled.store) == {chunk: Why.UNNAMED_DATA, back: Why.RETIRED}
    assert collect(unkilled.store) == {chunk, back}
    assert found(unkilled.store) == {}


def test_the_progress_of_a_proxy_that_is_not_committed_stays_until_it_is_given_up(tmp_path: Path) -> None:
    killed = start(tmp_path, "a", CONFIG, ("create", "proxies/1/1.json", 1, False))
    killed.join()
    store = open_store(str(tmp_path))
    progress = {stat.key for stat in store.list("runs/a/checkpoints/1/1/")}
    assert len(progress) == 4  # two checkpoints: a state and a manifest each
    assert not progress & collect(store)
    assert {key for key, why in found(store, abandoned=True).items() if why is Why.ABANDONED} == progress
    assert collect(store, abandoned=True) == progress
    finish(Run(store, "a"), CONFIG)


def test_what_a_run_takes_up_between_listing_and_removal_is_spared(unkilled: Run, tmp_path: Path) -> None:
    """A chunk that was a left-over when it was listed is named by a data set when it would be removed."""
    store = open_store(str(tmp_path))
    chunks = [stat.key for stat in unkilled.store.list("datasets/chunks/")]
    for key in chunks:
        store.put(key, unkilled.store.get(key))
    naming = Naming(store)
    listed = leftovers(naming.look(), LATER)
    assert [one.stat.key for one in listed] == chunks
    for stat in unkilled.store.list("datasets/"):
        if stat.key not in chunks:
            store.put(stat.key, unkilled.store.get(stat.key))
    assert list(remove(store, naming, listed, LATER)) == []
    assert [stat.key for stat in store.list("datasets/chunks/")] == chunks

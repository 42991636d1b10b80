"""Addresses and records of a run."""

from pathlib import Path

import pytest

from unecho.components.config import resolve
from unecho.components.failure import Fatal
from unecho.components.run import DatasetRecord, ModelRecord, Plan, Run


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("/data/x/runs/a", "file:///data/x/runs/a"),
        ("file:///data/x/runs/a", "file:///data/x/runs/a"),
        ("/data/runs/x/runs/a-1/", "file:///data/runs/x/runs/a-1"),
    ],
)
def test_an_address_is_root_runs_name(address: str, url: str) -> None:
    assert Run.parse(address).url == url


@pytest.mark.parametrize("address", ["a", "/data/a", "/data/runs/", "/data//runs/", "ftp://x/runs/a"])
def test_an_address_of_another_form_is_refused(address: str) -> None:
    with pytest.raises(Fatal) as told:
        Run.parse(address)
    assert address.removesuffix("/runs/a") in str(told.value)


@pytest.mark.parametrize("name", ["", "A", "a_b", "-a", "a-", "a/b", "a" * 49, "iet+"])
def test_a_name_must_be_able_to_name_kubernetes_objects(name: str, tmp_path: Path) -> None:
    with pytest.raises(Fatal, match="run name"):
        Run.at(str(tmp_path), name)


def test_the_first_commit_at_an_address_stands(tmp_path: Path) -> None:
    run = Run.at(str(tmp_path), "a")
    first, second = (Plan(revision=0, config=resolve("tiny", settings=(f"seed={s}",))) for s in (1, 2))
    assert run.commit(first, 0).config.seed == 1
    assert run.commit(second, 0).config.seed == 1
    assert run.config().seed == 1


def test_the_newest_revision_of_a_plan_counts(tmp_path: Path) -> None:
    run = Run.at(str(tmp_path), "a")
    for revision in range(3):
        plan = Plan(revision=revision, config=resolve("tiny", settings=(f"execution.workers={revision}",)))
        run.commit(plan, revision)
    assert run.config().execution.workers == 2


def test_a_missing_record_names_itself_and_its_step(tmp_path: Path) -> None:
    run = Run.at(str(tmp_path), "a")
    assert run.find(DatasetRecord) is None
    with pytest.raises(Fatal, match=r"runs/a/dataset.json: missing: step prepare has not made it"):
        run.load(DatasetRecord)


@pytest.mark.parametrize("content", [b"", b"{", b'{"round": 1}x', b'{"stop": null}', b"\xff"])
def test_an_altered_record_is_named(content: bytes, tmp_path: Path) -> None:
    run = Run.at(str(tmp_path), "a")
    run.store.put(run.key(ModelRecord, 1), content)
    with pytest.raises(Fatal, match=r"runs/a/models/1.json: altered: "):
        run.find(ModelRecord, 1)


def test_the_last_model_is_that_of_the_last_round_or_where_a_rule_stopped(tmp_path: Path) -> None:
    run, config = Run.at(str(tmp_path), "a"), resolve("tiny", settings=("iet.rounds=3",))
    run.commit(ModelRecord(round=0), 0)
    run.commit(ModelRecord(round=1), 1)
    with pytest.raises(Fatal, match=r"models/3.json: missing"):
        run.last_model(config)
    stopped = run.commit(ModelRecord(round=2, stop="enough"), 2)
    assert run.last_model(config) == stopped

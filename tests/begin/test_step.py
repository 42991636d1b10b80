"""begin removes weights of its own run, whatever a record says."""

import json
from pathlib import Path

import pytest

from tests.runs import tiny
from unecho.components.begin.step import begin
from unecho.components.failure import Fatal
from unecho.components.plan.step import plan
from unecho.components.progress import Silent
from unecho.components.run import Assignment, BeginRecord, ModelRecord, Run
from unecho.components.run.gc import Manifests
from unecho.components.store import ObjectRef

CUT = "0123456789abcdef"
ELSEWHERE = [
    f"runs/b/models/0/{CUT}/raw.safetensors",
    f"runs/a/../b/models/0/{CUT}/raw.safetensors",
    f"runs/a/models/0/{CUT}/../../../../b/plans/0.json",
    f"runs/ab/models/0/{CUT}/raw.safetensors",
    "datasets/chunks/" + 64 * "0",
    "runs/a/plans/0.json",
    "runs/a/models/1.json",
    "../photos/dog.png",
    "/etc/passwd",
    "",
]


def before_round_2(root: Path, key: str) -> Run:
    """A run in which round 2 may begin, so that model 0 is retired; its record names a key."""
    run = Run.at(str(root), "a")
    plan(run, tiny())
    for round in range(3):
        ref = ObjectRef(key=key if round == 0 else f"runs/a/models/{round}/{CUT}/ema.safetensors", size=1, sha256="0")
        run.commit(Assignment(round=round, shard_sizes=[1]), round)
        run.commit(ModelRecord(round=round, objects={"ema.safetensors": ref}), round)
    return run


def everything(root: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_weights_of_the_run_itself_are_retired(tmp_path: Path) -> None:
    key = f"runs/a/models/0/{CUT}/ema.safetensors"
    run = before_round_2(tmp_path, key)
    run.store.put(key, b"x")
    assert begin(run, 2, Silent()).retired == [key]
    assert run.store.stat(key) is None


@pytest.mark.parametrize("key", ELSEWHERE)
def test_a_record_of_weights_that_are_not_the_runs_own_removes_nothing(key: str, tmp_path: Path) -> None:
    run = before_round_2(tmp_path / "root", key)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "dog.png").write_bytes(b"dear")
    run.store.put(f"runs/b/models/0/{CUT}/raw.safetensors", b"of another run")
    before = everything(tmp_path)
    with pytest.raises(Fatal) as caught:
        begin(run, 2, Silent())
    record = run.store.address("runs/a/models/0.json")
    assert str(caught.value) == (
        f"{record}: altered: it would have {key or 'an empty key'} removed, which is not of run a: nothing was removed"
    )
    assert everything(tmp_path) == before


@pytest.mark.parametrize("key", ELSEWHERE)
def test_a_begin_that_names_other_keys_removes_nothing_neither_here_nor_in_gc(key: str, tmp_path: Path) -> None:
    own = f"runs/a/models/0/{CUT}/ema.safetensors"
    run = before_round_2(tmp_path / "root", own)
    record = run.commit(BeginRecord(round=2, decision="go", retired_through=0, retired=[own, key]), 2)
    assert json.loads(run.store.get("runs/a/begins/2.json"))["retired"] == record.retired
    run.store.put(own, b"x")
    run.store.put(f"runs/b/models/0/{CUT}/raw.safetensors", b"of another run")
    before = everything(tmp_path)
    place = run.store.address("runs/a/begins/2.json")
    with pytest.raises(Fatal, match=f"^{place}: altered: it would have "):
        begin(run, 2, Silent())
    with pytest.raises(Fatal, match=f"^{place}: altered: it retires "):
        Manifests(run.store).read()
    assert everything(tmp_path) == before

"""unecho status, from the store alone; what a cluster adds is under tests/cluster."""

from pathlib import Path

import pytest
import torch

from tests.runs import finish, tiny
from unecho.components.failure import Fatal
from unecho.components.plan.step import plan
from unecho.components.run import ProxyRecord, RoundFigures, Run
from unecho.components.run.checkpoints import Checkpoints
from unecho.components.run.failures import Failure, failures, kept_failure, note_failure
from unecho.components.steps import run_step
from unecho.pipelines.commands import main
from unecho.pipelines.units import duration


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "no-such-file"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("COLUMNS", "80")


def shown(capsys: pytest.CaptureFixture[str], run: Run) -> list[str]:
    assert main(["status", run.url]) == 0
    return capsys.readouterr().out.splitlines()


def test_a_round_under_way_shows_each_shard_from_its_record_or_its_checkpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run.at(str(tmp_path), "a")
    plan(run, tiny())
    capsys.readouterr()
    assert shown(capsys, run)[0] == "run a: planned, 3 rounds"
    for step in ("prepare", "initialize", "shard"):
        run_step(step, run)
    run_step("begin", run, 0)
    run_step("train", run, 0, 0)
    half = RoundFigures(round=0, visits=48, skips=12, augmented=0, steps=3, loss=0.5)
    with Checkpoints(run, 0, 1, every_s=1) as checkpoints:
        checkpoints.write(3, {"x": torch.zeros(1)}, half)
    lines = shown(capsys, run)
    assert lines[0] == "run a: 0 of 3 rounds done"
    assert lines[1].startswith("tiny, iet-agc+, 2 shards, seed 0; started ")
    assert " of training left" in lines[1], "told from how far the round is"
    rows = [line.split() for line in lines[lines.index("round 0") + 2 :]]
    assert rows[0][:2] == ["0", "done"]
    assert rows[1][:4] == ["1", "3/6", "0.5", "25.0%"]
    assert rows[1][-1] == "ago"
    with Checkpoints(run, 0, 1, every_s=1) as checkpoints:
        checkpoints.remove()
    run_step("train", run, 0, 1)
    run_step("aggregate", run, 0)
    lines = shown(capsys, run)
    assert lines[0] == "run a: 1 of 3 rounds done", "also where it was killed before it redistributed"
    assert not any("generated images" in line for line in lines)
    run_step("redistribute", run, 0)
    lines = shown(capsys, run)
    assert lines[0] == "run a: 1 of 3 rounds done"
    assert "round 1" in lines, "as its steps are addressed"
    assert next(line for line in lines if line.startswith("round  ") or "loss" in line).split()[:2] == ["round", "loss"]
    assert all(len(line) <= 80 for line in lines)


def test_a_run_that_is_done_shows_its_rounds_and_ends_a_watch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run.at(str(tmp_path), "a")
    finish(run, tiny())
    capsys.readouterr()
    lines = shown(capsys, run)
    assert lines[0] == "run a: done, 3 rounds"
    assert [line.split()[0] for line in lines[4:7]] == ["0", "1", "2"]
    assert main(["status", run.url, "--watch"]) == 0
    assert "done, 3 rounds" in capsys.readouterr().out


def test_a_failure_is_shown_without_a_promise_of_time_until_its_step_is_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run.at(str(tmp_path), "a")
    finish(run, tiny("iet.rounds=1"))
    key = run.load(ProxyRecord, 0, 0).objects["optimizer.safetensors"].key
    state = run.store.get(key)
    run.store.delete([key])
    with pytest.raises(Fatal) as told:
        finish(run, tiny())
    capsys.readouterr()
    lines = shown(capsys, run)
    assert lines[0] == "run a: 1 of 3 rounds done"
    assert "left" not in lines[1]
    unfolded = "".join("".join(lines).split())
    assert f"failed: train 1 0: {told.value}".replace(" ", "") in unfolded
    assert main(["ls", str(tmp_path)]) == 0
    assert "failed: train 1 0" in " ".join(capsys.readouterr().out.split())
    assert main(["ls", run.url]) == 0
    assert f"failed: train 1 0: {told.value}\n" in capsys.readouterr().out
    run.store.put(key, state)
    run_step("train", run, 1, 0)  # by hand, so nothing was forgotten
    assert [failure.step for failure in failures(run)] == ["train"]
    lines = shown(capsys, run)
    assert "failed" not in " ".join(lines)
    assert " of training left" in lines[1]
    finish(run, tiny())
    assert failures(run) == [], "it was started again"


def test_a_form_that_made_no_plan_is_shown_as_a_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = Run.at(str(tmp_path), "a")
    note_failure(run, Failure(step="plan", line="iet.shards: 0 is not allowed"))
    assert shown(capsys, run) == ["run a: no plan yet", "", "failed: plan: iet.shards: 0 is not allowed"]


def test_a_mistyped_address_is_not_written_to(tmp_path: Path) -> None:
    with pytest.raises(Fatal), kept_failure(Run.at(str(tmp_path), "typo"), "begin", 0):
        raise Fatal("plans/0.json: missing")
    assert not list(tmp_path.iterdir())


def test_a_run_that_is_not_there_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", f"{tmp_path}/runs/none"]) == 2
    assert capsys.readouterr().err.endswith("no such run: it has no plan, and no cluster was asked\n")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (59.6, "1 min 0 s"), (3599, "59 min 59 s"), (7800, "2 h 10 min"), (200_000, "2 d 7 h")],
)
def test_durations_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words

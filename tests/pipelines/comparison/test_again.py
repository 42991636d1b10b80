"""`unecho compare --again`: finished runs of a comparison sampled and measured in another way, beside each other."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.runs import fingerprint
from unecho.components.config import resolve
from unecho.components.failure import DONE, FATAL
from unecho.components.run import ModelRecord, ReportRecord, Run
from unecho.pipelines.commands import audit, main
from unecho.pipelines.comparison.again import mark_of
from unecho.pipelines.comparison.arms import Arm, Entry
from unecho.pipelines.comparison.processes import Start, start_all

ARMS = "--preset tiny --variants default,iet-agc+ --seeds 1"


def compare(root: Path, options: str, out: str = "out") -> int:
    return main(["compare", "--root", str(root), "--out", str(root / out), *ARMS.split(), *options.split()])


def found(root: Path, out: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((root / out / "compare.json").read_text())
    return read


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where two runs were compared."""
    root = tmp_path_factory.mktemp("compared")
    assert compare(root, "--no-classifier") == DONE
    return root


@pytest.fixture(scope="module")
def again(root: Path) -> dict[str, Any]:
    """The same runs in fewer steps."""
    before = [fingerprint(Run.at(str(root), f"tiny-{arm}-0")) for arm in ("default", "iet-agc-plus")]
    assert compare(root, "--again --set sample.steps=3 --parallel 2", "again") == DONE
    assert [fingerprint(Run.at(str(root), f"tiny-{arm}-0")) for arm in ("default", "iet-agc-plus")] == before
    return found(root, "again")


def test_as_they_were_the_tables_are_the_ones_of_the_comparison(root: Path) -> None:
    assert compare(root, "--again", "same") == DONE
    assert found(root, "same")["arms"] == found(root, "out")["arms"]


def test_every_run_has_an_audit_with_what_was_asked_and_nothing_else_changed(again: dict[str, Any], root: Path) -> None:
    assert again["again"] == {"sample": {"steps": 3}}
    assert again["missing"] == []
    for said, arm in zip(again["runs"], ("default", "iet-agc-plus"), strict=True):
        trained, own = Run.parse(said["audited"]), Run.parse(said["run"])
        assert trained.url == Run.at(str(root), f"tiny-{arm}-0").url
        assert own.config().sample.steps == 3
        asked = {"audit": own.config().audit, "sample": own.config().sample}
        assert own.config() == trained.config().model_copy(update=asked)
        assert own.load(ModelRecord, 0).objects == trained.load(ModelRecord, 2).objects
        for name, value in own.load(ReportRecord, 0).headline.items():
            assert said[name] == pytest.approx(value)


def test_visits_and_seconds_are_those_of_training(again: dict[str, Any], root: Path) -> None:
    training = ("visits", "skipped", "lost", "augmented", "train_s", "time_of_reference")
    for mine, first in zip(again["arms"], found(root, "out")["arms"], strict=True):
        assert {name: mine[name] for name in training} == {name: first[name] for name in training}
        assert mine["visits"]["mean"] > 0
        assert mine["train_s"]["mean"] > 0


def test_page_and_tables_say_that_they_are_of_audits(again: dict[str, Any], root: Path) -> None:
    page, tables = (" ".join((root / f"again/compare.{kind}").read_text().split()) for kind in ("html", "md"))
    for text in (page, tables):
        assert "tiny, audited again: memorization against quality" in text
        assert "sampled and measured again with sample.steps=3; visits and seconds are those of their training" in text
    for said in again["runs"]:
        assert f"{said['run']}<br>audit of {said['audited']}" in page


def test_started_again_it_goes_on_and_an_audit_that_is_there_counts(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = "--set sample.steps=4 --set evaluate.neighbours=5"
    assert main(["audit", f"{root}/runs/tiny-default-0", *settings.split()]) == 4
    assert compare(root, f"--again {settings}", "on") == DONE
    assert "2 audits, 1 done before" in capsys.readouterr().out
    assert compare(root, f"--again {settings} --set execution.workers=1", "on") == DONE
    assert "2 audits, 2 done before" in capsys.readouterr().out


def test_a_run_that_is_not_finished_is_named_and_left_out(
    again: dict[str, Any], root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare(root, "--variants default,iet-agc+,agc --again --set sample.steps=3", "some") == FATAL
    told = capsys.readouterr()
    assert "tiny-agc-0: is not finished: without --again it goes on" in told.out
    assert "1 of 3 audits are missing, the others are compared" in told.err
    some = found(root, "some")
    assert (some["missing"], some["runs"]) == (["tiny-agc-0"], again["runs"])


def test_an_audit_that_fails_is_named_and_the_others_are_compared(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A sample of the first audit is there, and is not what it was."""
    settings = "--again --set sample.steps=4 --set evaluate.neighbours=5"
    assert compare(root, settings, "whole") == DONE
    first, second = (Run.parse(run["run"]) for run in found(root, "whole")["runs"])
    sample = next(s.key for s in first.store.list(f"{first.prefix}/samples/") if s.key.endswith("images.safetensors"))
    first.store.delete([first.key(ReportRecord, 0), sample])
    assert compare(root, settings, "part") == FATAL
    said = f"{first.name}: ended with status 2: {first.store.address(sample)}: no such object"
    assert said.replace("file://", "") in capsys.readouterr().out.replace("file://", "")
    assert [run["run"] for run in found(root, "part")["runs"]] == [second.url]


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ("--set train.learning_rate=1", "train.learning_rate: 1: an audit of a run may change sample, evaluate,"),
        ("--set data.train_limit=10", "data.train_limit: 10: an audit of a run may change sample, evaluate,"),
        ("--set seed=1", "seed: 1: runs of one comparison keep the seeds that they are told apart by"),
        ("--set sample.stepz=1", "sample.stepz: no such field; did you mean sample.steps?"),
        ("--name other", "--again: file://ROOT/runs/other-default-0: is not finished, nor is another run of other"),
    ],
)
def test_a_mistake_is_one_line_before_anything_runs(
    options: str, line: str, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {stat.key for stat in Run.at(str(root), "x").store.list("runs/")}
    assert compare(root, f"--again {options}", "wrong") == FATAL
    assert capsys.readouterr().err.startswith(f"unecho: {line.replace('ROOT', str(root))}")
    assert {stat.key for stat in Run.at(str(root), "x").store.list("runs/")} == before
    assert not (root / "wrong").exists()


def test_each_way_to_sample_has_a_folder_of_its_own_and_each_machine_the_same() -> None:
    steps, more = {"sample": {"steps": 3}}, {"sample": {"steps": 4}}
    assert mark_of(steps) != mark_of(more)
    assert mark_of(steps | {"execution": {"workers": 1}}) == mark_of(steps)


@pytest.mark.parametrize(("status", "ends"), [(0, True), (3, True), (4, True), (1, False), (2, False), (143, False)])
def test_a_verdict_is_no_failure(status: int, ends: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "python"
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/words\necho said\nexit {status}\n')
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    entry = Entry(Arm("default", "default"), 0, Run.at(str(tmp_path), "audit-x"), resolve("tiny", "default"))
    start = Start(entry, ("audit", "ROOT/runs/x"), {"sample": {"steps": 3}})
    done = list[str]()
    options = ["--engine", "jobs", "--namespace", "here"]
    failed = start_all([start], tmp_path / "logs", 1, options, lambda one, _: done.append(one.run.name))
    assert done == (["audit-x"] if ends else [])
    assert [(one.name, one.line) for one in failed] == (
        [] if ends else [("audit-x", f"ended with status {status}: said")]
    )
    words = (tmp_path / "words").read_text().splitlines()
    assert words[:4] == ["-P", "-m", "unecho", "audit"]
    taken = audit.parser().parse_args(words[4:])
    assert (taken.subject, taken.root, taken.name) == ("ROOT/runs/x", entry.run.store.url, "audit-x")
    assert (taken.engine, taken.namespace) == ("jobs", "here")
    assert yaml.safe_load(taken.config.read_text()) == {"sample": {"steps": 3}}

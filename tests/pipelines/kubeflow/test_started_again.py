"""The compiled loops over what is left to do, on KFP's local runner; the steps run in this process."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.pipelines.kubeflow.executed import Executed, execute, steps_here
from tests.runs import fingerprint, finish
from unecho.components.config import resolve
from unecho.components.kubeflow_task.entry import ROOT, RUN_NAME
from unecho.components.run import BeginRecord, ModelRecord, ReportRecord, Run
from unecho.pipelines.commands import main

pytestmark = pytest.mark.filterwarnings("ignore:Task .* have no effect in the current local runner:UserWarning")
Start = Callable[..., Executed]
ONCE = [("plan",), ("prepare",), ("initialize",), ("shard",)]


@pytest.fixture
def root(tmp_path: Path) -> str:
    return str(tmp_path / "root")


@pytest.fixture
def start(root: str, tmp_path: Path) -> Iterator[Start]:
    """Start the compiled pipeline on a run named a, of two shards."""
    path = tmp_path / "unecho.yaml"
    assert main(["compile", "--image", "unecho:test", "--parallelism", "1", "-o", str(path)]) == 0
    before = signal.getsignal(signal.SIGTERM)
    starts = 0

    def one(**form: Any) -> Executed:
        nonlocal starts
        starts += 1
        folder = tmp_path / f"given-{starts}"
        folder.mkdir()
        about = {ROOT: root, RUN_NAME: "a", "data_preset": "tiny", "method_shards": "2"}
        return execute(path, about | form, {}, here, folder)

    with steps_here() as here:
        yield one
    signal.signal(signal.SIGTERM, before)  # a step's command catches it


def stepped(executed: Executed) -> list[tuple[Any, ...]]:
    """The steps in order; those beside each other by name."""
    assert executed.failure is None, executed.log
    beside = [sorted(executed.started[1:4], key=ONCE.index)]
    assert executed.started[:1] + beside[0] == ONCE
    return executed.started[4:]


def one_round(round: int) -> set[tuple[Any, ...]]:
    steps = ("begin", "watch", "aggregate", "redistribute")
    return {*((name, round) for name in steps), ("train", round, 0), ("train", round, 1)}


def test_a_finished_run_started_again_goes_through_no_round_and_a_grown_one_through_its_new_ones(
    start: Start, root: str
) -> None:
    stepped(start(method_rounds="1"))
    again = start(method_rounds="1")
    assert stepped(again) == [("select",), ("evaluate",)]
    assert again.file("evaluate", "report").read_bytes().startswith(b"<!doctype html>"), "the UI has it all the same"
    grown = stepped(start(method_rounds="3"))
    assert [step[1] for step in grown if step[0] == "begin"] == [1, 2]
    assert {*grown} == one_round(1) | one_round(2) | {("sample", 0), ("sample", 1), ("select",), ("evaluate",)}
    assert stepped(start(method_rounds="3")) == [("select",), ("evaluate",)]
    whole = Run.at(root, "whole")
    finish(whole, resolve("tiny", "iet-agc+", settings=("iet.rounds=3", "iet.shards=2")))
    assert [*fingerprint(Run.at(root, "a")).values()] == [*fingerprint(whole).values()]


def test_a_run_that_a_rule_has_stopped_is_not_gone_through_again(start: Start, root: str) -> None:
    rule = {"method_rounds": "4", "overrides": {"stop": {"loss_plateau": 0.99}}}  # no loss falls that fast
    steps = stepped(start(**rule))
    assert [step for step in steps if step[0] == "begin"] == [("begin", round) for round in range(4)]
    assert {step[1] for step in steps if step[0] == "train"} == {0, 1}
    run = Run.at(root, "a")
    assert run.load(ModelRecord, 2).stop
    assert run.load(BeginRecord, 2).decision == "stop"
    assert stepped(start(**rule)) == [("select",), ("evaluate",)]
    assert run.load(ReportRecord, 2)


def test_a_run_goes_on_with_the_round_that_failed(start: Start, root: str) -> None:
    run = Run.at(root, "a")
    run.store.put(run.key(ModelRecord, 2), b"not a record")
    failed = start(method_rounds="3")
    assert failed.failure is not None
    assert failed.started[-1] == ("begin", 2)  # the next iteration starts all the same, and finds no model
    run.store.delete([run.key(ModelRecord, 2)])
    steps = stepped(start(method_rounds="3"))
    assert {*steps} == one_round(1) | one_round(2) | {("sample", 0), ("sample", 1), ("select",), ("evaluate",)}


def test_a_text_to_image_run_encodes_in_its_loop_and_not_again(start: Start, root: str) -> None:
    first = start(data_preset="tiny-text-to-image", method_rounds="1")
    assert first.failure is None, first.log
    assert first.started[:2] == [("plan",), ("prepare",)]
    assert {*first.started[2:4]} == {("encode", 0), ("encode", 1)}
    again = start(data_preset="tiny-text-to-image", method_rounds="1")
    assert stepped(again) == [("select",), ("evaluate",)]
    whole = Run.at(root, "whole")
    finish(whole, resolve("tiny-text-to-image", "iet-agc+", settings=("iet.rounds=1", "iet.shards=2")))
    assert [*fingerprint(Run.at(root, "a")).values()] == [*fingerprint(whole).values()]

"""The words of an engine: what stands beside each other, steps by themselves and steps for every index."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from kfp import compiler

from tests.pipelines.kubeflow.compiled import read
from tests.runs import tiny
from unecho.components.config import resolve
from unecho.components.run import Run
from unecho.components.steps import STEPS
from unecho.pipelines.display import Display
from unecho.pipelines.jobs.cluster import Cluster
from unecho.pipelines.jobs.engine import Jobs
from unecho.pipelines.jobs.job_spec import StepJob
from unecho.pipelines.kubeflow.definition import IET
from unecho.pipelines.kubeflow.pipeline import Builder
from unecho.pipelines.kubeflow.pods import Pods
from unecho.pipelines.local import Local
from unecho.pipelines.loop import Engine, Map, Single

BESIDE = (Single("aggregate", 1), Map("train", 1, over="shards"), Single("redistribute", 1))
"""Of no method: a step before a map and one behind it."""
Here = list[tuple[str, int | None, int | None]]


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Here:
    """What the engine's own process does, in order; it does nothing."""
    done: Here = []
    monkeypatch.setattr(Local, "_one", lambda self, *address: done.append(address))
    return done


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[Jobs, list[Sequence[StepJob]]]:
    """An engine whose Jobs are only written down."""
    made: list[Sequence[StepJob]] = []
    monkeypatch.setattr(Jobs, "_run_all", lambda self, works: made.append(works))
    cluster = cast(Cluster, SimpleNamespace(inside=True))
    display = cast(Display, SimpleNamespace(note=None))
    return Jobs(Run.at(str(tmp_path), "a"), tiny("iet.shards=3"), display, cluster), made


def test_on_this_machine_they_run_as_they_are_listed(here: Here, tmp_path: Path) -> None:
    engine = Local(Run.at(str(tmp_path), "a"), tiny("iet.shards=2"), cast(Display, None))
    engine.beside(*BESIDE)
    assert here == [("aggregate", 1, None), ("train", 1, 0), ("train", 1, 1), ("redistribute", 1, None)]


def test_in_a_cluster_each_is_a_job_and_they_are_seen_to_their_end_together(
    here: Here, jobs: tuple[Jobs, list[Sequence[StepJob]]]
) -> None:
    engine, made = jobs
    engine.beside(*BESIDE)
    assert made == [[StepJob("aggregate", 1, 1), StepJob("train", 1, 3), StepJob("redistribute", 1, 1)]]
    assert here == []


def test_in_a_cluster_a_step_that_is_light_in_this_round_is_no_job(
    here: Here, jobs: tuple[Jobs, list[Sequence[StepJob]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = replace(STEPS["aggregate"], light=lambda run, config, r: bool(r % 2))
    monkeypatch.setitem(STEPS, "aggregate", odd)
    engine, made = jobs
    engine.beside(*BESIDE)
    engine.step("aggregate", 2)
    engine.step("begin", 2)
    engine.map("pack", over="packs")  # there is none where prepare packs all
    engine.map("encode", over="encodings")  # nor one for a model of pixels
    assert here == [("aggregate", 1, None), ("begin", 2, None)]
    assert made == [[StepJob("train", 1, 3), StepJob("redistribute", 1, 1)], [StepJob("aggregate", 2, 1)], [], []]


def test_shares_of_a_large_source_are_one_job_and_none_of_an_audited_runs_data_set(tmp_path: Path) -> None:
    assert tiny("execution.prepare_parts=6").sizes()["packs"] == 6
    assert tiny().sizes()["packs"] == 0
    audit = resolve(settings=("audit.run=s3://b/r/runs/a", "execution.prepare_parts=6"))
    assert audit.sizes()["packs"] == 0


def test_on_kubeflow_they_wait_for_the_same_and_what_follows_for_all_of_them(tmp_path: Path) -> None:
    tasks, _ = compiled(lambda engine: engine.beside(Single("initialize"), Map("encode", over="encodings")), tmp_path)
    assert waits(tasks) == {
        "plan": set(),
        "prepare": set(),
        "initialize": {"prepare"},
        "encodings": {"prepare"},
        "evaluate": {"initialize", "encodings"},
    }


def test_on_kubeflow_a_map_may_stand_beside_a_step_in_every_round(tmp_path: Path) -> None:
    def one_round(engine: Engine, round: int) -> None:
        engine.beside(Single("aggregate", round), Map("train", round, over="shards"))
        engine.step("redistribute", round)

    _, components = compiled(lambda engine: engine.repeat(one_round, "rounds"), tmp_path)
    (name,) = (name for name in components if name.startswith("comp-condition"))
    assert waits(components[name].dag.tasks) == {
        "aggregate": set(),
        "shards": set(),
        "redistribute": {"aggregate", "shards"},
    }


def compiled(middle: Callable[[Engine], None], folder: Path) -> tuple[Any, Any]:
    """The tasks at the top, and all components, of a pipeline with something between its ends."""

    def loop(engine: Engine) -> None:
        engine.step("plan")
        engine.step("prepare")
        middle(engine)
        engine.step("evaluate")

    path = folder / "pipeline.yaml"
    compiler.Compiler().compile(Builder(replace(IET, loop=loop), Pods("unecho:test"), 2).whole({}), str(path))
    spec = read(path).spec
    return spec.root.dag.tasks, spec.components


def waits(tasks: Any) -> dict[str, set[str]]:
    """What each task waits for; all wait for the plan."""
    return {name: set(task.dependent_tasks) - {"plan"} for name, task in tasks.items()}

"""A run that was planned before precision and compiling were left to `auto` goes on with its own arithmetic."""

import json
from pathlib import Path

import pytest

from tests.runs import tiny
from unecho.components.failure import Fatal
from unecho.components.plan.step import plan
from unecho.components.run import Plan, Run


@pytest.fixture
def older(tmp_path: Path) -> Run:
    """A run whose plan knows of float32 in training, and of nothing else."""
    run = Run.at(str(tmp_path), "a")
    plan = json.loads(Plan(revision=0, config=tiny("train.precision=float32")).model_dump_json())
    del plan["config"]["compile"], plan["config"]["sample"]["precision"]
    run.store.put(run.key(Plan, 0), json.dumps(plan).encode())
    return run


def arithmetic(run: Run) -> tuple[object, ...]:
    config = run.config()
    return config.train.precision, config.sample.precision, config.compile


def test_it_is_read_as_it_was_meant(older: Run) -> None:
    assert arithmetic(older) == ("float32", "float32", False)


def test_started_again_by_auto_it_keeps_it_for_good(older: Run) -> None:
    assert tiny().train.precision == tiny().sample.precision == tiny().compile == "auto"
    plan(older, tiny("execution.workers=3"))
    assert arithmetic(older) == ("float32", "float32", False)
    plan(older, tiny("execution.workers=4"))
    assert older.plan().revision == 2
    assert arithmetic(older) == ("float32", "float32", False)


def test_what_is_asked_for_by_name_is_another_method(older: Run) -> None:
    for setting in ("train.precision=bfloat16", "compile=true"):
        with pytest.raises(Fatal, match=rf"another method: {setting.partition('=')[0]}: was "):
            plan(older, tiny(setting))


def test_a_run_of_today_keeps_auto(tmp_path: Path) -> None:
    run = Run.at(str(tmp_path), "b")
    plan(run, tiny())
    plan(run, tiny("execution.workers=3"))
    assert run.plan().revision == 1
    assert arithmetic(run) == ("auto", "auto", "auto")

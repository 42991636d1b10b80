"""The audit on KFP's local runner, as a pipeline and as one task of somebody else's; the steps run in this process."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tests.given import save_ddpm
from tests.pipelines.kubeflow.executed import Executed, starts_here
from tests.pipelines.kubeflow.foreign import compile_foreign
from unecho.components.kubeflow_task.audit_form import AUDIT
from unecho.components.run import ReportRecord, Run, SamplesRecord
from unecho.components.run.failures import failures
from unecho.components.store import fetch
from unecho.pipelines.commands import main
from unecho.pipelines.display import Display
from unecho.pipelines.local import Local
from unecho.pipelines.loop import audit

pytestmark = pytest.mark.filterwarnings("ignore:Task .* have no effect in the current local runner:UserWarning")
Start = Callable[..., Executed]
FORM: dict[str, Any] = {
    "data_source": "digits",
    "overrides": {
        "data": {"held_out": 0.3},
        "evaluate": {"neighbours": 10},
        "sample": {"parts": 2, "batch_size": 12},
        "threads": 1,
    },
    "sample_count": "24",
    "sample_steps": "2",
}


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a compiled file."""
    with starts_here(tmp_path) as start:
        yield start


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    path = tmp_path / "audit.yaml"
    assert main(["compile", "--pipeline", "audit", "--image", "unecho:test", "-o", str(path)]) == 0
    return path


def test_the_audit_pipeline_gives_the_bytes_of_the_local_engine_and_no_model(
    start: Start, pipeline: Path, tmp_path: Path
) -> None:
    root, model = str(tmp_path / "root"), save_ddpm(tmp_path / "model", timesteps=50)
    form = {"address_root": root, "address_run_name": "a", "audit_subject": str(model)} | FORM
    first = start(pipeline, **form)
    assert first.failure is None, first.log
    assert first.started[:3] == [("plan",), ("prepare",), ("initialize",)]
    assert sorted(first.started[3:5]) == [("sample", 0), ("sample", 1)]
    assert first.started[5:] == [("evaluate",)]
    run = Run.at(root, "a")
    report = run.load(ReportRecord, 0)
    (said,) = first.folder.glob("*/evaluate/executor_output.json")
    assert set(json.loads(said.read_text())["artifacts"]) == {"metrics", "report", "summary"}
    assert first.file("evaluate", "report").read_bytes() == fetch(run.store, report.objects["shared.html"])
    assert "rounds" not in first.metadata("evaluate", "metrics")

    again = start(pipeline, **form)
    assert again.failure is None, again.log
    assert again.started == [("plan",), ("prepare",), ("initialize",), ("evaluate",)]

    whole = Run.at(root, "whole")
    with Display(Console(quiet=True)) as display:
        audit(Local(whole, AUDIT.config_of(form), display))
    for part in (0, 1):
        ours, theirs = (one.load(SamplesRecord, 0, part).objects for one in (run, whole))
        assert {name: ref.sha256 for name, ref in ours.items()} == {name: ref.sha256 for name, ref in theirs.items()}
    assert whole.load(ReportRecord, 0).headline == report.headline


def test_a_subject_that_is_none_fails_the_plan_with_the_forms_field(
    start: Start, pipeline: Path, tmp_path: Path
) -> None:
    root = str(tmp_path / "root")
    outcome = start(pipeline, address_root=root, address_run_name="a", audit_subject=str(tmp_path / "none"), **FORM)
    assert outcome.failure is not None
    assert outcome.started == [("plan",)]
    (failure,) = failures(Run.at(root, "a"))
    assert failure.line.startswith(f"audit: {tmp_path}/none: no such run")
    assert failure.line.endswith("(audit_subject in the form)")


def test_somebody_elses_pipeline_goes_by_the_verdict_of_an_audit_that_is_one_task(start: Start, tmp_path: Path) -> None:
    assert main(["compile", "--components", str(tmp_path), "--image", "unecho:test"]) == 0
    pipeline, root = tmp_path / "foreign.yaml", str(tmp_path / "root")
    form = {"overrides": {"data": {"held_out": 0.3}, "threads": 1}}
    compile_foreign(pipeline, tmp_path / "audit/component.yaml", "unecho:test", sys.executable, form)
    outcome = start(pipeline, root=root)
    assert outcome.failure is None, outcome.log
    assert outcome.started == [(sys.executable,), ("unecho",), (sys.executable,)]
    (name,) = {stat.key.split("/")[1] for stat in Run.at(root, "any").store.list("runs/")}
    run = Run.at(root, name)
    report = run.load(ReportRecord, 0)
    assert outcome.file("audit", "report").read_bytes() == fetch(run.store, report.objects["shared.html"])
    assert outcome.file("audit", "summary").read_text()
    assert outcome.metadata("audit", "metrics")["mq_aware_0.1"] > 0.2, "copies of training images"
    assert outcome.file("audit", "verdict").read_text() == "above"
    assert outcome.file("decide", "decision").read_text() == "held back"

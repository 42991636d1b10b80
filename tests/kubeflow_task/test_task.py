"""A step with the launcher's message in its hand: where its answers go, and its last line."""

import json
import math
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.runs import finish, tiny
from unecho.components.__main__ import main
from unecho.components.kubeflow_task.form import ROOT, RUN_NAME
from unecho.components.kubeflow_task.outputs import OUTPUTS
from unecho.components.kubeflow_task.task import Executor, Given
from unecho.components.plan.step import plan
from unecho.components.run import BeginRecord, ModelRecord, Run
from unecho.components.run.failures import Failure, failures, note_failure
from unecho.components.run.gc import Manifests, leftovers


@pytest.fixture(autouse=True)
def signals_as_before() -> Iterator[None]:
    """A step's command catches SIGTERM; this process shall not go on doing so."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def message(folder: Path, step: str, **inputs: Any) -> list[str]:
    """The options that a launcher fills in: outputs below a folder that is not there yet."""
    outputs: dict[str, Any] = {"outputFile": str(folder / "out.json"), "parameters": {}, "artifacts": {}}
    options = []
    for output in OUTPUTS.get(step, ()):
        if output.is_parameter:
            outputs["parameters"][output.name] = {"outputFile": str(folder / output.name)}
        else:
            about = {
                "name": output.name,
                "uri": f"s3://kfp/{output.name}",
                "type": {"schemaTitle": "?"},
                "metadata": {},
            }
            outputs["artifacts"][output.name] = {"artifacts": [about]}
        if output.has_file:
            options += ["--artifact", f"{output.name}={folder / output.name}"]
    said = {"inputs": {"parameterValues": inputs}, "outputs": outputs}
    return ["--kubeflow", json.dumps(said), *options]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = Run.at(str(tmp_path_factory.mktemp("root")), "done")
    finish(run, tiny())
    return run


def test_plan_gives_the_address_and_the_lists(tmp_path: Path) -> None:
    form = {
        ROOT: str(tmp_path / "root"),
        RUN_NAME: "",
        "run_id": "12345678",
        "data_preset": "tiny",
        "method_shards": "3",
    }
    assert main(["plan", *message(tmp_path / "k", "plan", **form)]) == 0
    assert (tmp_path / "k/run").read_text() == f"file://{tmp_path}/root/runs/12345678"
    lists = {name: json.loads((tmp_path / "k" / name).read_text()) for name in ("rounds", "shards", "parts")}
    assert lists == {"rounds": [0, 1], "shards": [0, 1, 2], "parts": [0, 1]}
    assert not (tmp_path / "k/out.json").exists()


def test_begin_says_go_or_stop_to_the_condition(run: Run, tmp_path: Path) -> None:
    for round, decision in ((2, "go"), (9, "stop")):
        words = ["begin", "--run", run.url, "--round", f"{round}.0", *message(tmp_path / str(round), "begin")]
        assert main(words) == 0
        assert (tmp_path / str(round) / "Output").read_text() == decision


@pytest.mark.parametrize("missing", ["models/1.json", "assignments/1.json"])
def test_a_round_starts_only_when_both_the_model_and_the_assignment_are_there(missing: str, tmp_path: Path) -> None:
    run = Run.at(str(tmp_path), "cut")
    finish(run, tiny("iet.rounds=1"))
    run.store.delete([f"{run.prefix}/{missing}"])
    assert main(["begin", "--run", run.url, "--round", "1", *message(tmp_path / "k", "begin")]) == 0
    assert (tmp_path / "k/Output").read_text() == "stop"
    assert run.find(BeginRecord, 1) is None  # no result: it goes once the round before is done


def test_a_metric_is_in_the_executors_answer_with_the_artifacts_own_name_and_place(run: Run, tmp_path: Path) -> None:
    assert main(["aggregate", "--run", run.url, "--round", "1", *message(tmp_path, "aggregate")]) == 0
    figures = run.load(ModelRecord, 2).figures
    assert figures is not None
    assert json.loads((tmp_path / "out.json").read_text()) == {
        "artifacts": {
            "metrics": {
                "artifacts": [
                    {
                        "name": "metrics",
                        "uri": "s3://kfp/metrics",
                        "metadata": {
                            "round": 1,
                            "loss": figures.loss,
                            "skip_rate": figures.skip_rate,
                            "augmented_share": figures.augmented / figures.visits,
                            "visits": figures.visits,
                        },
                    }
                ]
            }
        }
    }


def test_a_step_that_gives_nothing_writes_nothing(run: Run, tmp_path: Path) -> None:
    words = ["train", "--run", run.url, "--round", "0", "--index", "1.0", *message(tmp_path / "k", "train")]
    assert main(words) == 0
    assert not (tmp_path / "k").exists()


def test_what_is_no_number_is_left_out_of_the_answer(tmp_path: Path) -> None:
    _, text, *_ = message(tmp_path, "aggregate")
    figures = {"loss": math.nan, "skip_rate": 0.5, "worst": math.inf}
    Executor.parse(text, {}).answer({}, {"metrics": Given(metadata=figures)})
    said = json.loads((tmp_path / "out.json").read_text())["artifacts"]["metrics"]["artifacts"][0]["metadata"]
    assert said == {"skip_rate": 0.5}


@pytest.mark.parametrize("text", ["{{$}}", "{}", "[]", '{"outputs": 3}'])
def test_a_message_that_is_none_is_one_line(text: str, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["begin", "--run", run.url, "--round", "0", "--kubeflow", text]) == 2
    assert capsys.readouterr().err.startswith("unecho: --kubeflow: not an ExecutorInput of Kubeflow Pipelines: ")


def test_a_failure_for_good_is_kept_below_the_run_until_the_run_is_started_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run.at(str(tmp_path / "root"), "failed")
    plan(run, tiny())
    words = ["train", "--run", run.url, "--round", "3", "--index", "1", *message(tmp_path / "k", "train")]
    assert main(words) == 2
    line = capsys.readouterr().err.strip().removeprefix("unecho: ")
    assert failures(run) == [Failure(step="train", round=3, index=1, line=line)]
    assert run.store.stat("runs/failed/failures/train-3-1.json")
    form = {ROOT: str(tmp_path / "root"), RUN_NAME: "failed", "data_preset": "tiny", "method_rounds": "3"}
    assert main(["plan", *message(tmp_path / "k", "plan", **form)]) == 0
    assert failures(run) == []


def test_a_wrong_form_is_kept_below_the_run_that_it_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    form = {ROOT: str(tmp_path / "root"), RUN_NAME: "wrong", "data_preset": "tiny", "method_skip_ratio": "0.5"}
    assert main(["plan", *message(tmp_path / "k", "plan", **form)]) == 2
    line = capsys.readouterr().err.strip().removeprefix("unecho: ")
    assert line.startswith("agc.skip_ratio: 0.5 is not allowed")
    assert [one.line for one in failures(Run.at(str(tmp_path / "root"), "wrong"))] == [line]


def test_a_pod_imports_no_kfp_and_planning_no_torch() -> None:
    code = "import sys, unecho.components.__main__, unecho.components.kubeflow_task.task; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "unecho.components.kubeflow_task.task" in loaded
    assert not {"kfp", "kubernetes", "unecho.pipelines", "torch"} & set(loaded)


def test_without_kubeflow_plan_needs_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["plan", "--preset", "tiny"])
    assert ended.value.code == 2
    assert "required: --run" in capsys.readouterr().err


def test_a_kept_failure_is_no_left_over(run: Run) -> None:
    note_failure(run, Failure(step="plan", line="x"))
    found = [leftover.stat.key for leftover in leftovers(Manifests(run.store).read(), math.inf)]
    assert not [key for key in found if "failures" in key]

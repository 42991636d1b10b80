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
from unecho.components.kubeflow_task.entry import ROOT, RUN_NAME
from unecho.components.kubeflow_task.outputs import OUTPUTS, Given
from unecho.components.kubeflow_task.task import Executor
from unecho.components.plan.step import plan
from unecho.components.run import Assignment, BeginRecord, ModelRecord, ReportRecord, Run, SamplesRecord
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


def lists(folder: Path, run: Run, **form: Any) -> dict[str, list[int]]:
    """What plan gives to the loops when the run is started again."""
    about = {ROOT: run.store.url, RUN_NAME: run.name, "data_preset": "tiny", "method_variant": "iet-agc+"} | form
    assert main(["plan", *message(folder, "plan", **about)]) == 0
    return {name: json.loads((folder / name).read_text()) for name in ("rounds", "shards", "parts")}


def test_started_again_a_finished_run_has_no_rounds_and_no_parts_to_do_and_a_grown_one_its_new_rounds(
    tmp_path: Path,
) -> None:
    run = Run.at(str(tmp_path / "root"), "grows")
    finish(run, tiny("iet.rounds=1"))
    assert lists(tmp_path / "same", run, method_rounds="1") == {"rounds": [], "shards": [0, 1], "parts": []}
    assert lists(tmp_path / "grown", run, method_rounds="3") == {"rounds": [1, 2], "shards": [0, 1], "parts": [0, 1]}


def test_started_again_a_run_goes_on_with_the_round_that_did_not_end_and_the_parts_that_are_not_there(
    tmp_path: Path,
) -> None:
    run = Run.at(str(tmp_path / "root"), "broken")
    finish(run, tiny())
    run.store.delete([run.key(SamplesRecord, 3, 0)])
    assert lists(tmp_path / "parts", run, method_rounds="3") == {"rounds": [], "shards": [0, 1], "parts": [0]}
    run.store.delete([run.key(Assignment, 3)])  # redistribute failed beside aggregate
    assert lists(tmp_path / "last", run, method_rounds="3") == {"rounds": [2], "shards": [0, 1], "parts": [0, 1]}
    run.store.delete([run.key(ModelRecord, 2)])
    assert lists(tmp_path / "rounds", run, method_rounds="3")["rounds"] == [1, 2]


def test_started_again_a_run_that_a_rule_has_stopped_goes_through_no_further_round(tmp_path: Path) -> None:
    run = Run.at(str(tmp_path / "root"), "stopped")
    rule = {"stop": {"loss_plateau": 0.99}}  # no loss falls that fast
    finish(run, tiny("stop.loss_plateau=0.99", "iet.rounds=9"))
    assert run.load(ModelRecord, 2).stop
    assert lists(tmp_path / "k", run, method_rounds="9", overrides=rule) == {
        "rounds": [],
        "shards": [0, 1],
        "parts": [],
    }


DONE = {
    "prepare": [],
    "initialize": [],
    "shard": [],
    "begin": ["--round", "1"],
    "train": ["--round", "1", "--index", "0"],
    "aggregate": ["--round", "1"],
    "redistribute": ["--round", "1"],
    "sample": ["--index", "1"],
    "evaluate": [],
}


@pytest.mark.parametrize("step", DONE)
def test_a_step_that_is_done_answers_without_torch(step: str, run: Run, tmp_path: Path) -> None:
    code = "import sys; from unecho.components.__main__ import main; print(main(sys.argv[1:]), *sys.modules)"
    words = [step, "--run", run.url, *DONE[step], *message(tmp_path, step)]
    loaded = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True).stdout
    assert loaded.startswith("0 ")
    assert not {"torch", "diffusers", "sklearn"} & set(loaded.split())
    given = {output.name for output in OUTPUTS.get(step, ())}
    assert {path.name for path in tmp_path.iterdir()} - {"out.json"} == given


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
    lines = [line.split() for line in (tmp_path / "metrics").read_text().splitlines()]
    assert [name for name, _ in lines] == ["round", "loss", "skip_rate", "augmented_share", "visits"]
    assert (lines[0], lines[-1]) == (["round", "1"], ["visits", str(figures.visits)])
    assert float(lines[1][1]) == pytest.approx(figures.loss, rel=1e-5)


def test_the_measures_that_decide_and_quality_are_on_the_uis_first_page_and_all_in_the_file(
    run: Run, tmp_path: Path
) -> None:
    assert main(["evaluate", "--run", run.url, *message(tmp_path, "evaluate")]) == 0
    artifacts = json.loads((tmp_path / "out.json").read_text())["artifacts"]
    shown = artifacts["metrics"]["artifacts"][0]["metadata"]
    assert sorted(shown) == [
        "frechet_pixels",
        "frechet_pixels_real",
        "mq_aware_0.1",
        "mq_aware_0.1_floor",
        "precision",
        "recall",
        "rounds",
        "second_nearest_aware",
        "second_nearest_aware_floor",
        "skipped_share",
    ]
    headline = run.load(ReportRecord, 3).headline
    assert {name: headline[name] for name in shown if name != "rounds"} | {"rounds": 3} == shown
    written = [line.split()[0] for line in (tmp_path / "metrics").read_text().splitlines()]
    assert written == [*headline, "rounds"]
    model = json.loads((tmp_path / "model").read_text())
    assert list(model)[:4] == ["place", "digest", "rounds", "run"]
    assert artifacts["model"]["artifacts"][0]["metadata"] == {name: model[name] for name in list(model)[:4]}
    assert model["objects"]["model/unet/diffusion_pytorch_model.safetensors"]["sha256"] == model["digest"]


def test_the_summary_and_the_page_have_a_row_for_every_round(run: Run, tmp_path: Path) -> None:
    assert main(["evaluate", "--run", run.url, *message(tmp_path, "evaluate")]) == 0
    lines = (tmp_path / "summary").read_text().splitlines()
    head = lines.index("| round | loss | skipped | augmented | moved before |")
    for round, line in enumerate(lines[head + 2 : head + 5]):
        figures = run.load(ModelRecord, round + 1).figures
        assert figures is not None
        moved = run.load(Assignment, round).moved
        cells = line.strip("| ").split(" | ")
        assert cells[:2] == [str(round), f"{figures.loss:.4g}"]
        assert cells[2] == f"{100 * figures.skips / figures.visits:.1f} %"
        assert cells[4] == str(moved)
        assert f'<td class="n">{figures.loss:.4g}</td>' in (tmp_path / "report").read_text()
    assert lines[head + 5] == ""


def test_a_step_that_gives_nothing_writes_nothing(run: Run, tmp_path: Path) -> None:
    words = ["train", "--run", run.url, "--round", "0", "--index", "1.0", *message(tmp_path / "k", "train")]
    assert main(words) == 0
    assert not (tmp_path / "k").exists()


def test_what_is_no_number_is_left_out_of_the_answer(tmp_path: Path) -> None:
    _, text, *_ = message(tmp_path, "aggregate")
    figures = {"loss": math.nan, "skip_rate": 0.5, "worst": math.inf}
    Executor.parse(text, {"metrics": str(tmp_path / "file")}).answer({"metrics": Given(metadata=figures, data=b"")})
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

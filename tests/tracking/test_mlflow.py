"""MLflow has one run for each run of ours, and a run never waits for it for long."""

import os
import socket
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run as MlflowRun

from tests.runs import finish, tiny
from tests.services.mlflow_server import MLflow, hanging, mlflow_server
from tests.tracking.conftest import Notes
from unecho.components.run import Assignment, ModelRecord, Plan, ProxyRecord, ReportRecord, Run
from unecho.components.steps import run_step
from unecho.components.store import fetch
from unecho.components.tracking import track
from unecho.components.tracking.patience import Patience

PASSWORD = "secret-of-the-tests"


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    """MLflow's own store in a folder."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
    return MlflowClient((tmp_path / "mlruns").as_uri())


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[MLflow]:
    with mlflow_server() as found:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://somebody:{PASSWORD}@{found.address}")
        yield found


def told(client: MlflowClient, experiment: str = "unecho") -> list[MlflowRun]:
    found = client.get_experiment_by_name(experiment)
    return list(client.search_runs([found.experiment_id])) if found else []


def history(client: MlflowClient, run: MlflowRun, key: str) -> list[tuple[int, float]]:
    return sorted((metric.step, metric.value) for metric in client.get_metric_history(run.info.run_id, key))


def losses(run: Run) -> list[tuple[int, float]]:
    models = [run.load(ModelRecord, r) for r in (1, 2, 3)]
    return [(r, model.figures.loss) for r, model in enumerate(models) if model.figures]


def test_each_step_logs_its_figures_to_the_one_run_that_plan_made(tmp_path: Path, kept: MlflowClient) -> None:
    run = Run.at(str(tmp_path / "root"), "a")
    finish(run, tiny())
    (found,) = told(kept)
    assert history(kept, found, "train/loss") == losses(run)
    assert history(kept, found, "train/moved") == [(r, run.load(Assignment, r + 1).moved) for r in range(3)]
    skipped = [run.load(ProxyRecord, r, 1).figures.skip_rate for r in range(3)]
    assert history(kept, found, "shards/01/train/skip_rate") == [*enumerate(skipped)]
    headline = run.load(ReportRecord, 3).headline
    assert {k: v for k, v in found.data.metrics.items() if k.startswith("evaluate/")} == {
        f"evaluate/{name}": value for name, value in headline.items()
    }


def test_the_run_has_its_address_its_parameters_and_in_the_end_its_verdict(
    tracked: Run, kept: MlflowClient, notes: Notes
) -> None:
    track(tracked, tracked.load(ReportRecord, 3), notes)
    (found,) = told(kept)
    assert found.info.run_name == "a"
    assert found.info.status == "FINISHED"
    assert found.data.tags["unecho.run"] == tracked.url
    assert b"smoke" in fetch(tracked.store, tracked.load(ReportRecord, 3).objects["report.json"])
    assert found.data.tags["unecho.verdict"] == "undecided"  # of a smoke run
    assert found.data.params["iet.rounds"] == "3"
    assert found.data.params["agc.skip_ratio"] == "2.0"
    assert found.data.params["variant"] == "iet-agc+"


def test_a_run_that_is_started_again_is_found_again_and_nothing_is_logged_twice(
    tracked: Run, kept: MlflowClient, notes: Notes
) -> None:
    for record in (tracked.plan(), tracked.plan(), tracked.load(ProxyRecord, 1, 0)):
        track(tracked, record, notes)
    (found,) = told(kept)
    assert history(kept, found, "train/loss") == losses(tracked)
    assert len(history(kept, found, "shards/00/train/loss")) == 3
    assert len(history(kept, found, "evaluate/precision")) == 1


def test_what_was_missed_while_it_was_away_is_logged_at_the_end(tracked: Run, kept: MlflowClient, notes: Notes) -> None:
    track(tracked, tracked.load(ModelRecord, 1), notes)
    assert "has no run with the tag unecho.run" in notes.lines[0]
    track(tracked, tracked.load(ReportRecord, 3), notes)
    (found,) = told(kept)
    assert len(notes.lines) == 1
    assert history(kept, found, "train/loss") == losses(tracked)


def test_steps_side_by_side_log_to_one_run(tracked: Run, server: MLflow, notes: Notes) -> None:
    track(tracked, tracked.plan(), notes)
    before = len(server.asked)
    with ThreadPoolExecutor(2) as threads:
        for record in (tracked.load(ModelRecord, 2), tracked.load(Assignment, 2)):
            threads.submit(track, tracked, record, notes)
    assert len(server.runs) == 1
    assert "runs/create" not in server.asked[before:]


def test_over_http_a_run_has_figures_parameters_verdict_and_credentials_that_no_line_shows(
    tracked: Run, server: MLflow, notes: Notes
) -> None:
    track(tracked, tracked.plan(), notes)
    (found,) = server.runs.values()
    said = [(m["step"], m["value"]) for m in found["data"]["metrics"] if m["key"] == "train/loss"]
    assert [(int(step), pytest.approx(value)) for step, value in said] == losses(tracked)
    assert {"key": "iet.shards", "value": "2"} in found["data"]["params"]
    assert {"key": "unecho.verdict", "value": "undecided"} in found["data"]["tags"]
    assert found["info"]["status"] == "FINISHED"
    assert not server.authorizations & {None}
    assert server.experiments == {"unecho": "1"}
    assert notes.lines == []


def test_the_user_s_experiment_and_the_user_s_time_out_count(
    tracked: Run, server: MLflow, notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "mine")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "17")
    track(tracked, tracked.plan(), notes)
    assert server.experiments == {"mine": "1"}
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "17"
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "0"
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_a_long_value_is_cut_at_mlflow_s_limit(tmp_path: Path, kept: MlflowClient, notes: Notes) -> None:
    run = Run.at(str(tmp_path / "root"), "long")
    track(run, run.commit(Plan(revision=0, config=tiny(f"execution.cache_dir=/{'x' * 9000}")), 0), notes)
    (found,) = told(kept)
    assert found.data.params["execution.cache_dir"] == "/" + 5999 * "x"
    assert notes.lines == []


def away() -> str:
    """An address at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return f"127.0.0.1:{listening.getsockname()[1]}"


def test_an_mlflow_that_is_away_is_one_line_without_its_credentials(
    tracked: Run, notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://somebody:with@{PASSWORD}@{away()}")
    track(tracked, tracked.load(ModelRecord, 1), notes)
    assert_one_line(notes)


def test_an_mlflow_that_answers_500_is_one_line(tracked: Run, server: MLflow, notes: Notes) -> None:
    server.status = 500
    track(tracked, tracked.load(ModelRecord, 1), notes)
    assert_one_line(notes)
    assert len(server.asked) == 1, "no call is tried again"


def test_an_mlflow_that_hangs_is_one_line(tracked: Run, notes: Notes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with hanging() as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://somebody:{PASSWORD}@{address}")
        track(tracked, tracked.load(ModelRecord, 1), notes)
    assert_one_line(notes)


def assert_one_line(notes: Notes) -> None:
    assert len(notes.lines) == 1
    assert notes.lines[0].startswith("mlflow: ")
    assert notes.lines[0].endswith("; the run goes on")
    assert "\n" not in notes.lines[0]
    assert PASSWORD not in notes.lines[0]


def test_a_run_ends_well_without_its_mlflow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://somebody:{PASSWORD}@{away()}")
    run = Run.at(str(tmp_path), "a")
    finish(run, tiny("iet.rounds=1"))
    assert run.find(ReportRecord, 1)
    said = capfd.readouterr()
    assert PASSWORD not in said.out + said.err
    assert [line.split(": ")[0] for line in said.err.splitlines() if ": mlflow: " in line] == ["plan", "evaluate"]


def test_after_a_failure_it_is_left_alone_for_a_while_but_for_the_end(
    tracked: Run, server: MLflow, notes: Notes
) -> None:
    server.status = 500
    track(tracked, tracked.load(ModelRecord, 1), notes)
    server.status = 200
    track(tracked, tracked.load(ModelRecord, 2), notes)
    assert len(server.asked) == 1
    track(tracked, tracked.load(ReportRecord, 3), notes)
    assert len(server.runs) == 1
    before = len(server.asked)
    track(tracked, tracked.load(ModelRecord, 2), notes)
    assert len(server.asked) > before
    assert len(notes.lines) == 1


def test_without_the_package_there_is_one_line(
    tracked: Run, notes: Notes, server: MLflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    track(tracked, tracked.load(ModelRecord, 1), notes)
    assert notes.lines == ["mlflow: mlflow is not installed: pip install 'unecho[tracking]'; the run goes on"]


def test_work_that_takes_too_long_is_left_to_itself() -> None:
    ended = threading.Event()
    with pytest.raises(TimeoutError, match="no answer within"):
        Patience(together_s=0.01).spend(lambda: ended.wait(60) and None)
    ended.set()


def test_a_step_that_is_done_asks_nobody(tracked: Run, server: MLflow) -> None:
    run_step("aggregate", tracked, 0)
    assert server.asked == []

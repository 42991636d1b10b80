"""What `unecho submit` sends, against a stand-in of the API. What a real Kubeflow does with it is not tested here."""

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from urllib3 import Timeout

from tests.services import s3 as store
from tests.services.kfp_api import KfpApi, Workflow, serving
from unecho.components.run import Run
from unecho.components.run.failures import Failure, note_failure
from unecho.pipelines.commands import main
from unecho.pipelines.kubeflow import healthz, waiting
from unecho.pipelines.kubeflow.definition import AUDIT, IET
from unecho.pipelines.kubeflow.nodes import node_id

TREE = Path(__file__).parents[3]
IMAGE = ["--image", "unecho:test"]


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[KfpApi]:
    for name in os.environ:
        if name.startswith("KF_PIPELINES_"):
            monkeypatch.delenv(name)
    store.bare(monkeypatch)
    monkeypatch.setattr(waiting, "EVERY_S", 0.0)
    with serving() as api:
        yield api


def submit(api: KfpApi, *options: str, root: str = "s3://models/unecho") -> int:
    return main(["submit", "--host", api.url, *IMAGE, "--root", root, "--preset", "tiny", *options])


def state(name: str) -> dict[str, Any]:
    return {"state": name, "run_details": {"task_details": []}}


def test_the_first_submission_uploads_what_compile_writes_and_starts_a_run_of_it(
    api: KfpApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert submit(api, "--name", "mine", "--set", "iet.rounds=4", "--set", "stop.loss_plateau=0.1") == 0
    assert capsys.readouterr().out == (f"run  s3://models/unecho/runs/mine\nlink {api.url}/#/runs/details/run-0\n")
    assert main(["compile", *IMAGE, "-o", str(tmp_path / "x.yaml")]) == 0
    (made,) = api.sent("POST", "/pipelines")
    assert made.body["display_name"] == "unecho"
    (version,) = api.sent("POST", "/pipelines/upload_version")
    assert re.fullmatch(r".+-[0-9a-f]{12}", version.query["name"])
    assert (tmp_path / "x.yaml").read_bytes() in version.body
    assert made.body["description"] == version.query["description"] == IET.description
    assert [one.path for one in api.requests if "schemaVersion" in str(one.body)] == [version.path]
    assert [one["display_name"] for one in api.experiments] == ["unecho"]
    (run,) = api.runs
    assert run["display_name"] == "mine"
    assert run["experiment_id"] == "e1"
    assert run["pipeline_version_reference"] == {"pipeline_id": "unecho", "pipeline_version_id": "v1"}
    assert run["runtime_config"]["parameters"] == {
        "address_root": "s3://models/unecho",
        "address_run_name": "mine",
        "data_preset": "tiny",
        "method_variant": "",
        "method_rounds": "4",
        "overrides": {"stop.loss_plateau": 0.1},
    }


def submit_audit(api: KfpApi, *options: str) -> int:
    words = ["submit", "--pipeline", "audit", "--host", api.url, *IMAGE, "--root", "s3://models/unecho"]
    return main([*words, *options])


def test_an_audit_is_a_pipeline_of_its_own_and_nothing_is_asked_of_its_addresses(
    api: KfpApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--subject", "s3://models/candidate", "--data", "s3://photos/dogs", "--held-out", "s3://photos/others"]
    assert submit_audit(api, *options, "--set", "sample.steps=50", "--set", "data.resolution=32") == 0
    assert capsys.readouterr().out.startswith("run  s3://models/unecho/runs/run-0\n")
    assert main(["compile", "--pipeline", "audit", *IMAGE, "-o", str(tmp_path / "x.yaml")]) == 0
    (made,) = api.sent("POST", "/pipelines")
    assert (made.body["display_name"], made.body["description"]) == ("unecho-audit", AUDIT.description)
    (version,) = api.sent("POST", "/pipelines/upload_version")
    assert (tmp_path / "x.yaml").read_bytes() in version.body
    (run,) = api.runs
    assert run["display_name"] == "audit of s3://models/candidate"
    assert run["runtime_config"]["parameters"] == {
        "address_root": "s3://models/unecho",
        "address_run_name": "",
        "audit_subject": "s3://models/candidate",
        "data_source": "s3://photos/dogs",
        "audit_held_out": "s3://photos/others",
        "sample_prompts": "",
        "sample_steps": "50",
        "overrides": {"data.resolution": 32},
    }


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ((), "--subject: missing: give the address of the model, run or images to audit"),
        (("--subject", "a/b", "--preset", "tiny"), "--preset: tiny: an audit has none: leave it out"),
        (("--subject", "a/b", "--set", "sample.steps=0"), "sample.steps: 0 is not allowed"),
        (("--pipeline", "iet", "--held-out", "s3://a/b"), "--held-out: s3://a/b: is of an audit (--pipeline audit)"),
    ],
)
def test_wrong_options_of_an_audit_are_one_line_before_anything_is_sent(
    options: tuple[str, ...], says: str, api: KfpApi, capsys: pytest.CaptureFixture[str]
) -> None:
    assert submit_audit(api, *options) == 2
    assert capsys.readouterr().err.startswith(f"unecho: {says}")
    assert api.requests == []


RETRAIN = ["submit", "--pipeline", "retrain", "--model", "dogs", "--preset", "tiny", "--root", "s3://models/unecho"]
NIGHTLY = ["--schedule", "10 3 * * *"]


@pytest.fixture
def retrain(api: KfpApi, tmp_path: Path) -> Callable[..., int]:
    """`unecho submit --pipeline retrain` of the model dogs."""
    policy = tmp_path / "gate.yaml"
    policy.write_text("verdict: not_echo\nquality: {precision: {at_least: 0.5}}\n")
    return lambda *words: main([*RETRAIN, "--host", api.url, *IMAGE, "--policy", str(policy), *words])


def test_a_retraining_is_a_pipeline_of_its_own_that_has_the_policy_in_its_form_and_no_name_of_a_run(
    api: KfpApi, retrain: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert retrain("--set", "iet.rounds=4", "--by", "ann") == 0
    assert capsys.readouterr().out == f"link {api.url}/#/runs/details/run-0\n"
    assert main(["compile", "--pipeline", "retrain", *IMAGE, "-o", str(tmp_path / "x.yaml")]) == 0
    (made,) = api.sent("POST", "/pipelines")
    assert made.body["display_name"] == "unecho-retrain"
    assert (tmp_path / "x.yaml").read_bytes() in api.sent("POST", "/pipelines/upload_version")[0].body
    (run,) = api.runs
    assert run["display_name"] == "retrain dogs (s3://models/unecho)"
    assert run["runtime_config"]["parameters"] == {
        "address_root": "s3://models/unecho",
        "release_model": "dogs",
        "release_policy": {"verdict": "not_echo", "quality": {"precision": {"at_least": 0.5}}},
        "release_by": "ann",
        "data_preset": "tiny",
        "method_variant": "",
        "method_rounds": "4",
        "overrides": {},
    }
    assert api.recurring == []


def test_a_schedule_is_one_recurring_run_whose_cron_has_the_seconds_that_kubeflow_reads_first(
    api: KfpApi, retrain: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    api.multi_user = True
    options = ["--namespace", "team", "--experiment", "nightly", "--service-account", "trainer"]
    assert retrain(*NIGHTLY, *options) == 0
    (one,) = api.recurring
    assert {request.query["namespace"] for request in api.sent("GET", "/recurringruns")} == {"team"}
    assert (api.experiments[0]["namespace"], one["experiment_id"]) == ("team", "e1")
    assert one["trigger"] == {"cron_schedule": {"cron": "0 10 3 * * *"}}
    assert (one["mode"], one["max_concurrency"], one["no_catchup"]) == ("ENABLE", 1, True)
    assert (one["display_name"], one["service_account"]) == ("retrain dogs (s3://models/unecho)", "trainer")
    assert one["pipeline_version_reference"] == {"pipeline_id": "unecho-retrain", "pipeline_version_id": "v1"}
    assert one["runtime_config"]["parameters"]["release_model"] == "dogs"
    assert api.runs == []
    assert capsys.readouterr().out == (
        f"retrain dogs (s3://models/unecho): 10 3 * * * (UTC)\nlink {api.url}/#/recurringrun/details/recurring-0\n"
    )


def test_another_schedule_of_the_same_model_takes_the_place_of_the_first_and_the_same_one_changes_nothing(
    api: KfpApi, retrain: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert [retrain(*NIGHTLY), retrain(*NIGHTLY)] == [0, 0]
    assert "10 3 * * * (UTC), as before\n" in capsys.readouterr().out
    assert [one["mode"] for one in api.recurring] == ["ENABLE"]
    assert retrain(*NIGHTLY, "--set", "seed=1") == 0
    assert "disabled recurring-0, in whose place it is\n" in capsys.readouterr().out
    assert retrain("--schedule", "@weekly") == 0
    assert [one["mode"] for one in api.recurring] == ["DISABLE", "DISABLE", "ENABLE"]
    asked = [f"{one.method} {one.path}" for one in api.requests if "recurringruns" in one.path]
    assert asked.index("POST /recurringruns/recurring-0:disable") > asked.index("POST /recurringruns"), "never none"
    assert not any(line.startswith("DELETE") for line in asked), "that would end what it has started"


def test_a_model_of_that_name_at_another_root_recurs_beside_it(api: KfpApi, retrain: Callable[..., int]) -> None:
    assert [retrain(*NIGHTLY), retrain(*NIGHTLY, "--root", "s3://others/unecho")] == [0, 0]
    assert [one["mode"] for one in api.recurring] == ["ENABLE", "ENABLE"]


def test_two_that_a_killed_submission_has_left_are_one_after_the_next(api: KfpApi, retrain: Callable[..., int]) -> None:
    assert [retrain(*NIGHTLY), retrain(*NIGHTLY, "--set", "seed=1")] == [0, 0]
    api.recurring[0]["mode"] = "ENABLE"
    assert retrain(*NIGHTLY, "--set", "seed=1") == 0
    assert [one["mode"] for one in api.recurring] == ["DISABLE", "ENABLE"]


def test_off_disables_what_recurs_and_needs_neither_image_nor_policy(
    api: KfpApi, retrain: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert retrain(*NIGHTLY) == 0
    capsys.readouterr()
    off = [*RETRAIN, "--host", api.url, "--schedule", "off"]
    assert [main(off), main(off)] == [0, 0]
    assert [one["mode"] for one in api.recurring] == ["DISABLE"]
    assert capsys.readouterr().out == (
        "retrain dogs (s3://models/unecho): disabled recurring-0\n"
        "retrain dogs (s3://models/unecho): nothing recurs under that name\n"
    )


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--schedule", "0 3 * *"], "--schedule: '0 3 * *' is not five fields"),
        (["--schedule", "0 0 3 * * *"], "--schedule: '0 0 3 * * *' is not five fields"),
        (["--schedule", "0 24 * * *"], "--schedule: '0 24 * * *': the hour 24 is not from 0 to 23"),
        (["--schedule", "0 3 * * 1-7"], "--schedule: '0 3 * * 1-7': the weekday 7 is not from 0 to 6"),
        ([*NIGHTLY, "--wait"], "--wait: what recurs has no end"),
        (["--resume", "1"], "--resume: a retraining goes on with its run when the same command is given again"),
        (
            ["--set", "train.gpus_per_shard=2", "--accelerators-per-shard", "1"],
            "--accelerators-per-shard: 1, but train.gpus_per_shard is 2",
        ),
        ([*NIGHTLY, "--name", "a"], "--name: a: a retraining has none: leave it out"),
        (["--model", ""], "--model: missing"),
        (["--model", "Dogs"], "model name: 'Dogs'"),
        (["--schedule", "off", "--root", ""], "--schedule off: of which model?"),
        (["--subject", "a/b"], "--subject: a/b: is of an audit (--pipeline audit)"),
        (["--pipeline", "iet"], "--model: dogs: is of a retraining (--pipeline retrain)"),
    ],
)
def test_wrong_options_of_a_retraining_are_one_line_before_anything_is_sent(
    options: list[str], says: str, api: KfpApi, retrain: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert retrain(*options) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"unecho: {says}")
    assert api.requests == []


def test_what_is_there_already_is_not_uploaded_again_and_a_change_is_a_version(api: KfpApi) -> None:
    assert [submit(api), submit(api, root="s3://models/other"), submit(api, "--parallelism", "2")] == [0, 0, 0]
    assert len(api.sent("POST", "/pipelines")) == 1
    assert len(api.sent("POST", "/pipelines/upload_version")) == 2
    assert len(api.sent("POST", "/experiments")) == 1
    versions = [run["pipeline_version_reference"]["pipeline_version_id"] for run in api.runs]
    assert versions == ["v1", "v1", "v2"]


def test_a_wrong_form_is_one_line_before_anything_is_sent(api: KfpApi, capsys: pytest.CaptureFixture[str]) -> None:
    for options, says in (
        (["--set", "agc.skip_ratio=0.5"], "agc.skip_ratio: 0.5 is not allowed"),
        (["--name", "Mine"], "run name: 'Mine': use at most 48"),
        (["--root", "/data"], "--root: '/data' is not s3://bucket/prefix, which pods can reach"),
        (["--image", ""], "--image: missing"),
        (["--accelerators-per-shard", "2"], "--accelerators-per-shard: 2, but train.gpus_per_shard is 1: leave"),
        (["--token-file", "/none"], "--token-file /none: no such file"),
    ):
        assert submit(api, *options) == 2
        assert capsys.readouterr().err.startswith(f"unecho: {says}")
    assert api.requests == []


def test_a_start_that_costs_much_or_cannot_reach_its_root_is_told_before(
    api: KfpApi, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--set", "iet.shards=20", "--set", "iet.rounds=10", "--secret-layout", "mlpipeline-minio-artifact"]
    assert submit(api, *options, "--namespace", "team", root="s3://mlpipeline/unecho") == 0
    of_store, of_shards = capsys.readouterr().err.splitlines()
    assert "reaches s3://mlpipeline/private/team/ and not the whole bucket: s3://mlpipeline/unecho would be" in of_store
    assert "a round of 20 shards is 24 pods that run a step and 48 driver pods, 720 pods in 10 rounds" in of_shards


def test_every_request_carries_the_token_that_the_file_holds_then(
    api: KfpApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = tmp_path / "token"
    token.write_text("first\n")
    assert submit(api, "--token-file", str(token)) == 0
    assert {one.headers.get("authorization") for one in api.requests} == {"Bearer first"}
    api.requests.clear()
    token.write_text("second")
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(token))
    assert submit(api) == 0
    assert {one.headers.get("authorization") for one in api.requests} == {"Bearer second"}


def test_a_users_namespace_goes_with_pipelines_and_experiments(api: KfpApi) -> None:
    api.multi_user = True
    assert submit(api, "--namespace", "team", "--experiment", "dogs", "--service-account", "default-editor") == 0
    assert api.sent("GET", "/pipelines")[0].query["namespace"] == "team"
    assert api.sent("POST", "/pipelines")[0].body["namespace"] == "team"
    assert api.experiments[0]["namespace"] == "team"
    assert api.experiments[0]["display_name"] == "dogs"
    assert api.runs[0]["service_account"] == "default-editor"


def test_kfps_own_configuration_is_used(api: KfpApi, tmp_path: Path) -> None:
    """In a process of its own: kfp looks for the file when it is imported."""
    config = tmp_path / ".config/kfp/context.json"
    config.parent.mkdir(parents=True)
    config.write_text(json.dumps({"namespace": "team", "client_authentication_cookie": "session=abc"}))
    words = [sys.executable, "-m", "unecho", "submit", *IMAGE, "--root", "s3://models/unecho", "--preset", "tiny"]
    environment = {"HOME": str(tmp_path), "PATH": "", "PYTHONPATH": str(TREE), "KF_PIPELINES_ENDPOINT": api.url}
    subprocess.run(words, check=True, cwd=tmp_path, env=environment)
    assert {one.headers.get("cookie") for one in api.requests} == {"session=abc"}
    assert api.experiments[0]["namespace"] == "team"


ROUND = "root.rounds.for-loop-41.iteration-iterations({}:{}).iteration-item"
TRAIN = ROUND + ".condition-42.shards.for-loop-31.iteration-iterations({}:{}).iteration-item.train"


def rounds(state: str, *trained: str) -> Workflow:
    """A run in whose last round two shards train, their states given; the rounds before have succeeded."""
    workflow = Workflow()
    for step in ("plan", "prepare", "initialize", "shard"):
        workflow.pod(f"root.{step}", "SUCCEEDED")
    workflow.nested("root.rounds", state).loop("root.rounds.for-loop-41", state, len(trained) // 2)
    for round in range(len(trained) // 2):
        here = ROUND.format(round, round)
        workflow.pod(f"{here}.begin", "SUCCEEDED").nested(f"{here}.condition-42", state)
        workflow.nested(f"{here}.condition-42.shards", state)
        workflow.loop(f"{here}.condition-42.shards.for-loop-31", state, 2)
        for shard in range(2):
            workflow.pod(TRAIN.format(round, round, shard, shard), trained[2 * round + shard])
    return workflow


def told(out: str) -> list[str]:
    """What is told of a run, without the lines on its address and the clock."""
    lines = [line for line in out.splitlines() if not line.startswith(("run ", "link "))]
    return [line.partition(" ")[2] for line in lines]


def test_wait_tells_of_each_step_when_it_runs_and_how_it_ended_and_of_nothing_else(
    api: KfpApi, capsys: pytest.CaptureFixture[str]
) -> None:
    first = Workflow().pod("root.plan", "RUNNING")
    then = Workflow().pod("root.plan", "SUCCEEDED").pod("root.prepare", "PENDING")
    last = Workflow().pod("root.plan", "SUCCEEDED").pod("root.prepare", "SUCCEEDED").pod("root.shard", "SKIPPED")
    api.states = [
        [state("PENDING"), first.details("RUNNING"), *[then.details("RUNNING")] * 2, last.details("SUCCEEDED")]
    ]
    assert submit(api, "--wait") == 0
    assert told(capsys.readouterr().out) == ["plan: running", "plan: succeeded", "prepare: succeeded"]


def test_wait_names_a_step_by_its_round_and_shard(api: KfpApi, capsys: pytest.CaptureFixture[str]) -> None:
    done = ["SUCCEEDED"] * 2
    last = rounds("RUNNING", *done, *done)
    last.pod(f"{ROUND.format(1, 1)}.condition-42.aggregate", "SUCCEEDED")
    last.pod(f"{ROUND.format(1, 1)}.condition-42.redistribute", "SUCCEEDED")
    last.nested("root.parts", "SUCCEEDED").loop("root.parts.for-loop-51", "SUCCEEDED", 2)
    for part in range(2):
        item = f"root.parts.for-loop-51.iteration-iterations({part}:{part}).iteration-item"
        last.pod(f"{item}.sample", "SUCCEEDED")
    last.pod("root.evaluate", "SUCCEEDED")
    api.states = [
        [
            rounds("RUNNING", "RUNNING", "PENDING").details("RUNNING"),
            rounds("RUNNING", *done).details("RUNNING"),
            rounds("RUNNING", *done, "RUNNING", "RUNNING").details("RUNNING"),
            last.details("SUCCEEDED"),
        ]
    ]
    assert submit(api, "--wait", "--set", "sample.parts=2") == 0
    assert told(capsys.readouterr().out) == [
        "plan: succeeded",
        "prepare: succeeded",
        "initialize: succeeded",
        "shard: succeeded",
        "begin 0: succeeded",
        "train 0 0: running",
        "train 0 0: succeeded",
        "train 0 1: succeeded",
        "begin 1: succeeded",
        "train 1 0: running",
        "train 1 1: running",
        "train 1 0: succeeded",
        "train 1 1: succeeded",
        "aggregate 1: succeeded",
        "redistribute 1: succeeded",
        "sample 0: succeeded",
        "sample 1: succeeded",
        "evaluate: succeeded",
    ]


def test_rounds_that_were_done_before_are_counted(
    api: KfpApi, s3_root: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop's first iteration is then the first round that is left, which `plan` tells from the store."""
    left = {"packs": [], "encodings": [], "rounds": [3, 4], "shards": [0, 1], "parts": [0]}
    monkeypatch.setattr(waiting, "given", lambda step, run, record: left if run.name == "goes-on" else {})
    api.states = [[rounds("FAILED", "SUCCEEDED", "FAILED").details("FAILED")]]
    assert submit(api, "--name", "goes-on", "--wait", root=s3_root) == 1
    out = capsys.readouterr()
    assert told(out.out)[-3:] == ["begin 3: succeeded", "train 3 0: succeeded", "train 3 1: failed"]
    assert out.err == f"unecho: failed: train 3 1: {api.url}/#/runs/details/run-0\n"


def test_without_the_store_it_is_said_how_rounds_are_counted(api: KfpApi, capsys: pytest.CaptureFixture[str]) -> None:
    api.states = [[rounds("SUCCEEDED", "SUCCEEDED", "SUCCEEDED").details("SUCCEEDED")]]
    assert submit(api, "--name", "goes-on", "--wait") == 0
    lines = told(capsys.readouterr().out)
    assert lines[0] == "the store cannot be read from here: rounds are counted from the first of this start"
    assert lines[-1] == "train 0 1: succeeded"


@pytest.mark.parametrize(("ends", "status"), [("SUCCEEDED", 0), ("FAILED", 1)])
def test_wait_follows_the_one_task_of_a_retraining(
    ends: str, status: int, api: KfpApi, retrain: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    api.states = [[Workflow().pod("root.retrain", ends).details(ends)]]
    assert retrain("--wait") == status
    out = capsys.readouterr()
    assert told(out.out) == [f"retrain: {ends.lower()}"]
    assert ("failed: retrain" in out.err) == (status == 1)


def test_a_step_whose_place_is_not_known_is_told_by_its_name(api: KfpApi, capsys: pytest.CaptureFixture[str]) -> None:
    api.states = [[Workflow().pod("root.elsewhere.train", "SUCCEEDED").details("SUCCEEDED")]]
    assert submit(api, "--wait") == 0
    assert told(capsys.readouterr().out) == ["train: succeeded"]


def test_ids_of_nodes_are_argos() -> None:
    """Taken from Argo's own test data."""
    assert node_id("dag-diamond-xfww2", "dag-diamond-xfww2.A(0)") == "dag-diamond-xfww2-990947287"
    assert node_id("dag-diamond-82q7s", "dag-diamond-82q7s.D") == "dag-diamond-82q7s-1226654358"


def test_a_driver_that_failed_is_told_as_kubeflows(api: KfpApi, capsys: pytest.CaptureFixture[str]) -> None:
    api.states = [[Workflow().pod("root.plan", "SKIPPED", driver="FAILED").details("FAILED")]]
    assert submit(api, "--wait") == 1
    assert capsys.readouterr().err.startswith("unecho: failed: plan (Kubeflow's driver): http")


@pytest.mark.parametrize(("ends", "says"), [("FAILED", "failed: "), ("CANCELED", "canceled: ")])
def test_wait_ends_with_status_1_where_another_try_may_help(
    ends: str, says: str, api: KfpApi, capsys: pytest.CaptureFixture[str]
) -> None:
    api.states = [[state(ends)]]
    assert submit(api, "--wait", "--resume", "0") == 1
    assert capsys.readouterr().err == f"unecho: {says}{api.url}/#/runs/details/run-0\n"
    assert len(api.runs) == 1


def test_a_failed_run_is_started_again_under_its_name_at_most_n_times(
    api: KfpApi, capsys: pytest.CaptureFixture[str]
) -> None:
    api.states = [[state("FAILED")], [state("FAILED")], [state("SUCCEEDED")]]
    assert submit(api, "--resume", "2") == 0
    names = [run["runtime_config"]["parameters"]["address_run_name"] for run in api.runs]
    assert names == ["", "run-0", "run-0"]  # the first start had no name, so it got its own id
    assert [run["display_name"] for run in api.runs] == ["tiny", "run-0, start 2", "run-0, start 3"]
    assert "started again under its name (the store cannot be read from here" in capsys.readouterr().out
    api.states += [[state("FAILED")], [state("FAILED")]]
    assert submit(api, "--name", "mine", "--resume", "1") == 1
    assert len(api.runs) == 5


def test_a_failed_run_that_cannot_be_helped_is_not_started_again_and_its_line_is_told(
    api: KfpApi, s3_root: str, capsys: pytest.CaptureFixture[str]
) -> None:
    note_failure(Run.at(s3_root, "bad"), Failure(step="train", round=0, index=1, line="loss is not a number"))
    api.states = [[rounds("FAILED", "SUCCEEDED", "FAILED").details("FAILED")]]
    assert submit(api, "--name", "bad", "--resume", "3", root=s3_root) == 2
    out = capsys.readouterr()
    assert told(out.out)[-2:] == ["train 0 0: succeeded", "train 0 1: failed"]
    assert out.err == "unecho: failed, and another try cannot help: train 0 1: loss is not a number\n"
    assert len(api.runs) == 1


def test_a_run_whose_store_says_nothing_is_started_again(
    api: KfpApi, s3_root: str, capsys: pytest.CaptureFixture[str]
) -> None:
    api.states = [[rounds("FAILED", "FAILED", "SUCCEEDED").details("FAILED")], [state("SUCCEEDED")]]
    assert submit(api, "--name", "killed", "--resume", "1", root=s3_root) == 0
    assert "failed: train 0 0; started again under its name\n" in capsys.readouterr().out


PATH = "is the path right (https://HOST/pipeline)?"


@pytest.mark.parametrize(
    ("refusal", "status", "says"),
    [
        ((401, ""), 2, "401 Unauthorized: give a token by --token-file"),
        ((403, "RBAC: access denied"), 2, "403 Forbidden: give a token by --token-file"),
        ((404, "{}"), 2, f"404 Not Found: {PATH}"),
        ((404, "<html>no such page</html>"), 2, f"404 Not Found: {PATH}"),
        ((405, ""), 2, f"405 Method Not Allowed: {PATH}"),
        ((200, "<html>log in</html>"), 2, f"a web page answers, not Kubeflow Pipelines: {PATH} Else give a token"),
        ((200, "OK"), 2, f"another program answers, not Kubeflow Pipelines: {PATH}"),
        ((200, "[]"), 2, f"another program answers, not Kubeflow Pipelines: {PATH}"),
        ((503, '{"error": "starting"}'), 1, "503 Service Unavailable: starting: worth another try"),
        ((429, ""), 1, "429 Too Many Requests: worth another try"),
    ],
)
def test_what_answers_in_the_place_of_the_api_is_one_line_after_one_request(
    refusal: tuple[int, str], status: int, says: str, api: KfpApi, capsys: pytest.CaptureFixture[str]
) -> None:
    api.refusal = refusal
    assert submit(api) == status
    out = capsys.readouterr()
    assert out.err.startswith(f"unecho: {api.url}: {says}")
    assert len(out.err.splitlines()) == 1
    assert [one.path for one in api.requests] == ["/healthz"]


@pytest.mark.parametrize(
    ("location", "says"),
    [
        ("https://login.example.com/auth?client_id=kf&state=secret-state", "a login at https://login.example.com/auth"),
        ("/oauth2/start?rd=%2Fpipeline", "a login at {url}/oauth2/start"),
    ],
)
def test_a_redirect_to_a_login_page_is_not_followed(
    location: str, says: str, api: KfpApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    api.refusal, api.location = (302, "<html>found</html>"), location
    assert submit(api) == 2
    says = says.format(url=api.url)
    assert capsys.readouterr().err == f"unecho: {api.url}: asks for {says}: give a token by --token-file\n"
    token = tmp_path / "token"
    token.write_text("secret-token")
    assert submit(api, "--token-file", str(token)) == 2
    assert capsys.readouterr().err.endswith(f"{says}: is the token right, and not expired?\n")
    assert len(api.requests) == 2


def test_an_address_that_has_moved_is_named(api: KfpApi, capsys: pytest.CaptureFixture[str]) -> None:
    api.refusal, api.location = (301, ""), "https://kubeflow.example.com/pipeline/apis/v2beta1/healthz"
    assert submit(api) == 2
    line = f"unecho: {api.url}: has moved: give https://kubeflow.example.com/pipeline by --host\n"
    assert capsys.readouterr().err == line


def test_a_token_that_is_refused_is_in_no_line(api: KfpApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    token = tmp_path / "token"
    token.write_text("secret-token")
    api.refusal = (401, '{"message": "Unauthenticated"}')
    address = api.url.replace("://", "://me:secret-token@")
    words = ["submit", "--host", address, "--token-file", str(token), *IMAGE, "--root", "s3://a/b"]
    assert main(words) == 2
    out = capsys.readouterr()
    assert out.err.startswith(f"unecho: {api.url}: 401 Unauthorized: Unauthenticated: is the token right, not expired")
    assert "secret-token" not in out.err + out.out


def test_what_is_refused_after_healthz_is_one_line_with_the_apis_words(
    api: KfpApi, capsys: pytest.CaptureFixture[str]
) -> None:
    api.healthy, api.refusal = True, (403, '{"message": "no access to experiments\\nmore"}')
    assert submit(api, "--namespace", "team") == 2
    line = f"unecho: {api.url}: 403 Forbidden: no access to experiments: give a token by --token-file\n"
    assert capsys.readouterr().err == line
    api.refusal = (404, '{"message": "namespace team not found"}')
    assert submit(api, "--namespace", "team") == 2
    assert capsys.readouterr().err == f"unecho: {api.url}: 404 Not Found: namespace team not found\n"


def test_a_host_that_is_none_or_speaks_no_tls_is_one_line(api: KfpApi, capsys: pytest.CaptureFixture[str]) -> None:
    for host, says in (
        ("http://kubeflow.example.com:port", "--host: 'http://kubeflow.example.com:port' is no address"),
        (api.url.replace("http", "https"), f"{api.url.replace('http', 'https')}: [SSL"),
    ):
        assert main(["submit", "--host", host, *IMAGE, "--root", "s3://a/b"]) == 2
        line = capsys.readouterr().err
        assert line.startswith(f"unecho: {says}")
        assert len(line.splitlines()) == 1


def test_a_host_that_is_not_there_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a namespace kfp's own client asks first, five times in 25 s."""
    began = time.monotonic()
    assert main(["submit", "--host", "http://127.0.0.1:9", *IMAGE, "--root", "s3://a/b"]) == 1
    line = capsys.readouterr().err
    assert line.startswith("unecho: http://127.0.0.1:9: cannot be reached: ")
    assert line.endswith("Connection refused: worth another try\n")
    assert len(line.splitlines()) == 1
    assert time.monotonic() - began < 5


def test_a_host_that_does_not_answer_is_left_after_a_while(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(healthz, "_PATIENCE", Timeout(0.1))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host = f"http://127.0.0.1:{listener.getsockname()[1]}"
        assert main(["submit", "--host", host, *IMAGE, "--root", "s3://a/b"]) == 1
    assert capsys.readouterr().err.startswith(f"unecho: {host}: cannot be reached: Read timed out.")

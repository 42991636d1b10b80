"""The compiled pipeline, executed in containers by KFP's local runner, its store on a real S3 server."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.pipelines.kubeflow.executed import Executed, execute
from tests.pipelines.kubeflow.foreign import compile_foreign
from tests.runs import fingerprint
from tests.services import containers as service
from tests.services import s3 as store
from tests.services.containers import Containers
from unecho.components.run import BeginRecord, ModelRecord, ProxyRecord, ReportRecord, Run, WatchRecord
from unecho.components.run.failures import failures
from unecho.components.store import fetch
from unecho.pipelines.commands import main

pytestmark = pytest.mark.filterwarnings("ignore:Task .* have no effect in the current local runner:UserWarning")
Execute = Callable[..., Executed]
SHARED_BYTES = 2_000_000


@pytest.fixture(scope="module")
def containers() -> Iterator[Containers]:
    with service.running() as containers:
        yield containers


@pytest.fixture(scope="module")
def pipeline(containers: Containers, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("compiled") / "unecho.yaml"
    assert main(["compile", "--image", containers.image, "-o", str(path)]) == 0
    return path


@pytest.fixture(scope="module")
def environment(s3_server: store.S3) -> Iterator[dict[str, str]]:
    """What a Secret gives a pod; this process has it too."""
    with pytest.MonkeyPatch.context() as patch:
        s3_server.point(patch)
        yield {
            "AWS_ENDPOINT_URL_S3": s3_server.endpoint,
            "AWS_ACCESS_KEY_ID": s3_server.access_key,
            "AWS_SECRET_ACCESS_KEY": s3_server.secret_key,
        }


@pytest.fixture(scope="module")
def root(environment: Mapping[str, str]) -> str:
    return f"s3://{store.BUCKET}/{uuid4().hex}"


@pytest.fixture(scope="module")
def started(
    pipeline: Path, containers: Containers, environment: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Execute:
    def start(secret: Mapping[str, str] = environment, **form: Any) -> Executed:
        return execute(pipeline, form, secret, containers, tmp_path_factory.mktemp("given"))

    return start


FORM: Mapping[str, Any] = {
    "data_preset": "tiny",
    "address_run_name": "story",
    "method_rounds": "3",
    "method_shards": "2",
}
RULE: Mapping[str, Any] = {"stop": {"skip_rate_above": 0.99}, "watch": {"every": 1}}
"""A rule that nothing ever meets, and a look at every model."""


@pytest.fixture(scope="module")
def failed(started: Execute, root: str) -> Executed:
    """A proxy of the second round cannot be made: something else lies at its address."""
    run = Run.at(root, "story")
    run.store.put(run.key(ProxyRecord, 1, 1), b"not a record")
    return started(address_root=root, overrides=RULE, **FORM)


@pytest.fixture(scope="module")
def lines(failed: Executed, root: str) -> list[str]:
    """What the store says of the failure."""
    return [f"{one.step} {one.round} {one.index}: {one.line}" for one in failures(Run.at(root, "story"))]


@pytest.fixture(scope="module")
def continued(started: Execute, failed: Executed, lines: list[str], root: str) -> Executed:
    """The cause is gone, and the pipeline is started again with the same form."""
    run = Run.at(root, "story")
    run.store.delete([run.key(ProxyRecord, 1, 1)])
    return started(address_root=root, overrides=RULE, **FORM)


@pytest.fixture(scope="module")
def stopped(started: Execute, root: str) -> Executed:
    """One shard, no name, and a rule that ends the run after its second round: no loss falls that fast."""
    overrides = {"stop.loss_plateau": 0.99, "sample": {"parts": 1}, "report.images": "none"}
    form = {"data_preset": "tiny", "method_variant": "agc", "method_rounds": "3", "report_samples": "32"}
    return started(address_root=f"{root}/stopped", overrides=overrides, **form)


def test_a_failed_round_fails_the_pipeline_and_starts_no_further_training(failed: Executed) -> None:
    assert failed.failure is not None
    assert "shards" in failed.failure or "for-loop" in failed.failure
    assert sorted(step for step in failed.started if step[0] == "train") == [
        ("train", round, shard) for round in (0, 1) for shard in (0, 1)
    ]
    assert failed.started[-1] == ("begin", 2)  # the next iteration starts all the same, and finds no model
    assert ("aggregate", 1) not in failed.started
    assert "no round 2: model 2 is missing: round 1 has not ended" in failed.log


def test_the_line_stands_in_the_log_and_in_the_store(failed: Executed, lines: list[str], root: str) -> None:
    line = f"{root}/runs/story/proxies/1/1.json: altered: JSON"
    assert f"unecho: {line}" in failed.log
    assert len(lines) == 1
    assert lines[0].startswith(f"train 1 1: {line}")


def test_a_second_start_under_the_same_name_goes_on_to_the_end(continued: Executed, root: str) -> None:
    assert continued.failure is None
    run = Run.at(root, "story")
    assert run.find(ReportRecord, 3)
    assert failures(run) == []
    assert run.plan().revision == 0


def test_each_round_starts_at_most_as_many_pods_as_shards_and_four_more(continued: Executed) -> None:
    for round in (1, 2):  # round 0 had ended
        assert sorted(
            step for step in continued.started if len(step) > 1 and step[1] == round and step[0] != "sample"
        ) == [
            ("aggregate", round),
            ("begin", round),
            ("redistribute", round),
            ("train", round, 0),
            ("train", round, 1),
            ("watch", round),
        ]
    assert sorted(step for step in continued.started if step[0] == "sample") == [("sample", 0), ("sample", 1)]


def test_rounds_are_in_order(continued: Executed) -> None:
    rounds = [step[1] for step in continued.started if step[0] in ("begin", "train", "aggregate", "redistribute")]
    assert rounds == sorted(rounds)
    assert set(rounds) == {1, 2}


def test_the_result_is_that_of_the_local_engine_to_the_byte(
    continued: Executed, containers: Containers, environment: Mapping[str, str], root: str
) -> None:
    settings = ["iet.rounds=3", "iet.shards=2", "stop.skip_rate_above=0.99", "watch.every=1"]
    words = [word for setting in settings for word in ("--set", setting)]
    containers.run(
        "unecho", "run", "--root", f"{root}/local", "--name", "story", "--preset", "tiny", *words, **environment
    )
    theirs, ours = Run.at(f"{root}/local", "story"), Run.at(root, "story")
    assert theirs.config().method() == ours.config().method()
    assert fingerprint(theirs) == fingerprint(ours)
    assert [theirs.load(WatchRecord, r).look for r in range(3)] == [ours.load(WatchRecord, r).look for r in range(3)]


def test_the_ui_gets_the_figures_of_every_round_and_of_the_report(continued: Executed, root: str) -> None:
    run = Run.at(root, "story")
    for iteration, round in enumerate((1, 2)):
        figures = run.load(ModelRecord, round + 1).figures
        assert figures is not None
        shown = continued.metadata("aggregate", "metrics", iteration)
        assert (shown["round"], shown["loss"], shown["skip_rate"]) == (round, figures.loss, figures.skip_rate)
        assert continued.metadata("redistribute", "metrics", iteration).keys() == {"round", "moved"}
        look = run.load(WatchRecord, round).look
        assert look is not None
        seen = continued.metadata("watch", "metrics", iteration)
        assert (seen["round"], seen[look.speaks]) == (round, look.metrics[look.speaks])
    headline = run.load(ReportRecord, 3).headline
    final = continued.metadata("evaluate", "metrics")
    assert {"mq_aware_0.1", "mq_aware_0.1_floor", "frechet_pixels", "rounds", "skipped_share"} <= set(final)
    assert final == {name: headline[name] for name in final if name != "rounds"} | {"rounds": 3}
    lines = continued.file("evaluate", "metrics").read_text().splitlines()
    assert [line.split()[0] for line in lines] == [*headline, "rounds"]


def test_the_ui_gets_the_page_without_training_images_and_a_summary(continued: Executed, root: str) -> None:
    run = Run.at(root, "story")
    page = continued.file("evaluate", "report").read_bytes()
    assert page == fetch(run.store, run.load(ReportRecord, 3).objects["shared.html"])
    assert len(page) < SHARED_BYTES
    summary = continued.file("evaluate", "summary").read_text()
    assert summary.startswith("## Smoke run: no verdict")
    assert "| MQ &lt; 0.1 aware |" in summary
    assert f"unecho pull {run.url} DIR" in summary


def test_the_ui_is_told_where_model_and_data_set_are_and_their_digests(continued: Executed, root: str) -> None:
    run = Run.at(root, "story")
    report = run.load(ReportRecord, 3)
    model = continued.metadata("evaluate", "model")
    weights = report.objects["model/unet/diffusion_pytorch_model.safetensors"]
    assert run.store.address(weights.key) == f"{model['place']}/unet/diffusion_pytorch_model.safetensors"
    assert model["digest"] == weights.sha256
    assert json.loads(continued.file("evaluate", "model").read_text())["round"] == 3
    dataset = continued.metadata("prepare", "dataset")
    assert dataset["place"].endswith(f"/datasets/{dataset['digest']}.json")
    assert (dataset["train_samples"], dataset["held_out_samples"]) == (96, 64)


def test_the_plan_can_be_made_by_hand_with_the_line_of_its_log(continued: Executed, root: str) -> None:
    (line,) = (text for text in continued.log.splitlines() if "the same by hand: " in text)
    assert line.strip().partition("by hand: ")[2] == (
        f"unecho step plan --run {root}/runs/story --preset tiny --variant iet-agc+ "
        "--set iet.rounds=3 --set iet.shards=2 --set stop.skip_rate_above=0.99 --set watch.every=1"
    )


def test_a_rule_stops_the_rounds_and_the_last_model_is_reported(stopped: Executed, root: str) -> None:
    assert stopped.failure is None
    (run,) = _runs(f"{root}/stopped")
    assert run.name.isdigit()  # the run's id: of the local runner, which has no other ids
    reason = run.load(ModelRecord, 2).stop
    assert reason is not None
    assert reason.startswith("stop.loss_plateau")
    assert run.load(BeginRecord, 2).decision == "stop"
    assert run.find(ReportRecord, 2)
    assert [step for step in stopped.started if step[0] == "train"] == [("train", 0, 0), ("train", 1, 0)]
    assert [step for step in stopped.started if step[0] in ("begin", "select", "sample", "evaluate")] == [
        ("begin", 0),
        ("begin", 1),
        ("begin", 2),
        ("select",),
        ("sample", 0),
        ("evaluate",),
    ]
    assert b"<img" not in stopped.file("evaluate", "report").read_bytes()  # report.images=none


def test_a_wrong_value_fails_the_plan_with_the_line_of_the_command_line_and_the_forms_field(
    started: Execute, root: str, capsys: pytest.CaptureFixture[str]
) -> None:
    form = {"address_run_name": "wrong", "data_preset": "tiny", "method_skip_ratio": "0.5"}
    outcome = started(address_root=root, **form)
    assert outcome.failure is not None
    assert outcome.started == [("plan",)]
    capsys.readouterr()
    assert main(["run", "--preset", "tiny", "--set", "agc.skip_ratio=0.5"]) == 2
    line = capsys.readouterr().err.strip()
    assert line.startswith("unecho: agc.skip_ratio: 0.5 is not allowed")
    line += " (method_skip_ratio in the form)"
    assert [text.strip() for text in outcome.log.splitlines() if "unecho: " in text] == [line]
    assert [f"unecho: {one.line}" for one in failures(Run.at(root, "wrong"))] == [line]


def test_without_its_secret_the_pipeline_fails_with_one_line(
    started: Execute, root: str, environment: Mapping[str, str]
) -> None:
    bare = {name: value for name, value in environment.items() if name == "AWS_ENDPOINT_URL_S3"}
    bare["UNECHO_S3_SECRET"] = "unecho-s3"  # as compile sets it
    outcome = started(secret=bare, address_root=root, address_run_name="bare", data_preset="tiny")
    assert outcome.failure is not None
    assert outcome.started == [("plan",)]
    (line,) = (text.strip() for text in outcome.log.splitlines() if "unecho: " in text)
    assert line.startswith("unecho: credentials: none found: the namespace of this pod has no Secret unecho-s3")


def _runs(root: str) -> list[Run]:
    found = Run.at(root, "any").store.list("runs/")
    return [Run.at(root, name) for name in sorted({stat.key.split("/")[1] for stat in found})]


def test_text_to_image_gives_the_bytes_of_the_local_engine(
    started: Execute, containers: Containers, environment: Mapping[str, str], root: str
) -> None:
    form = {"address_root": root, "address_run_name": "words", "data_preset": "tiny-text-to-image"}
    executed = started(**form, method_rounds="1")
    assert executed.failure is None, executed.log
    assert {("encode", 0), ("encode", 1)} <= {*executed.started}
    command = ("unecho", "run", "--root", f"{root}/local", "--name", "words", "--preset", "tiny-text-to-image")
    containers.run(*command, "--set", "iet.rounds=1", **environment)
    assert fingerprint(Run.at(f"{root}/local", "words")) == fingerprint(Run.at(root, "words"))


def test_somebody_elses_pipeline_goes_by_the_verdict_of_an_audit_that_is_one_task(
    containers: Containers, environment: Mapping[str, str], root: str, tmp_path: Path
) -> None:
    """Half of the images that they make are copies, more than a perfect model would ever make."""
    assert main(["compile", "--components", str(tmp_path), "--image", containers.image]) == 0
    pipeline, folder = tmp_path / "foreign.yaml", tmp_path / "given"
    folder.mkdir()
    form = {"overrides": {"data": {"held_out": 0.3}, "threads": 1}}
    compile_foreign(pipeline, tmp_path / "audit/component.yaml", containers.image, "python3", form)
    outcome = execute(pipeline, {"root": f"{root}/foreign"}, environment, containers, folder)
    assert outcome.failure is None, outcome.log
    assert outcome.started == [("python3",), ("unecho",), ("python3",)]
    assert outcome.file("audit", "verdict").read_text() == "above"
    assert outcome.file("decide", "decision").read_text() == "held back"
    (run,) = _runs(f"{root}/foreign")
    report = run.load(ReportRecord, 0)
    assert outcome.file("audit", "report").read_bytes() == fetch(run.store, report.objects["shared.html"])
    shown = outcome.metadata("audit", "metrics")
    assert shown == {name: report.headline[name] for name in shown}

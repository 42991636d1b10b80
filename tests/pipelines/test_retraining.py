"""unecho retrain: what a CI job gets of it. Training is left out, everything else is real."""

import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.pipelines.gate.reports import reported
from tests.report.kept import finished, kept, report_of
from tests.retrainings import SETTINGS, Reporting, Trainer, draw
from tests.services.kfp_api import KfpApi, serving
from unecho.components.config import resolve
from unecho.components.failure import Stopped
from unecho.components.kubeflow_task.form import config_of
from unecho.components.run import DatasetRecord, Run
from unecho.components.run.released import Release, ReleasedModel
from unecho.components.store import open_store
from unecho.pipelines.commands import main, retrain
from unecho.pipelines.gate.foreseen import check_foreseen
from unecho.pipelines.gate.policy import read_policy
from unecho.pipelines.kubeflow import submission, waiting
from unecho.pipelines.kubeflow.client import Kubeflow, Version
from unecho.pipelines.loop import iet
from unecho.pipelines.releasing import roll_back
from unecho.pipelines.retraining import retraining
from unecho.pipelines.retraining.outcome import Outcome
from unecho.pipelines.retraining.standing import taken_back

Said = Callable[..., tuple[int, str, str]]
BETTER, WORSE = reported(frechet=1.9), reported(frechet=4.5)


@pytest.fixture
def trainer(monkeypatch: pytest.MonkeyPatch) -> Trainer:
    trainer = Trainer()
    monkeypatch.setattr(retrain, "run_to_the_end", trainer)
    return trainer


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "gate.yaml"
    path.write_text(
        "smoke: allow\nmemorization: {mq_aware_0.1: {above_floor_at_most: 0.02}}\n"
        "quality: {frechet_pixels: {ratio_to_released_at_most: 1.1}}\n"
    )
    return path


@pytest.fixture
def said(
    tmp_path: Path,
    policy: Path,
    trainer: Trainer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Said:
    """Retrains "dogs" on tmp_path/images at 80 columns: exit status, output, errors."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    monkeypatch.chdir(tmp_path)
    draw(tmp_path / "images", 24)

    def call(*words: object, root: object = tmp_path / "root", of_data: bool = True) -> tuple[int, str, str]:
        capsys.readouterr()
        line = ["--model", "dogs", "--policy", str(policy), "--out", str(tmp_path / "out")]
        if of_data:
            line += ["--root", str(root), "--preset", "tiny", "--set", f"data.source={tmp_path / 'images'}"]
            line += [word for setting in SETTINGS for word in ("--set", setting)]
        status = main(["retrain", *line, *map(str, words)])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


def keys(root: object) -> dict[str, bytes]:
    store = open_store(str(root))
    return {stat.key: store.get(stat.key) for stat in store.list("")}


def history(root: object) -> list[Release]:
    return ReleasedModel(open_store(str(root)), "dogs").history()


def test_new_data_are_trained_gated_and_promoted_and_unchanged_data_end_at_once_and_leave_nothing(
    tmp_path: Path, said: Said, trainer: Trainer
) -> None:
    root = tmp_path / "root"
    status, out, _ = said("--if-changed", "--by", "nightly job")
    assert status == 0
    assert "frechet_pixels: nothing is released yet to compare it with" in out
    assert out.splitlines()[-2].startswith("dogs is number 1: model 2 of run dogs-")
    before = keys(root)
    status, out, err = said("--if-changed")
    assert (status, err, out.count("\n")) == (0, "", 1)
    assert out.startswith(f"dogs is number 1, of run {trainer.trained[0]}: on these data, with this configuration")
    assert keys(root) == before, "nothing is left behind"
    draw(tmp_path / "images", 30)
    assert said("--if-changed", "--by", "nightly job")[0] == 0
    assert len(set(trainer.trained)) == 2
    assert [(one.number, one.run, one.by, one.replaces) for one in history(root)] == [
        (1, trainer.trained[0], "nightly job", None),
        (2, trainer.trained[1], "nightly job", 1),
    ]
    assert [one.dataset for one in history(root)] == [
        Run.at(str(root), name).load(DatasetRecord).digest for name in trainer.trained
    ]


def test_the_same_images_under_other_names_are_unchanged_data_and_no_run_is_left(
    tmp_path: Path, said: Said, trainer: Trainer
) -> None:
    assert said("--if-changed")[0] == 0
    runs = [key for key in keys(tmp_path / "root") if key.startswith("runs/")]
    for path in sorted((tmp_path / "images").iterdir()):
        path.rename(path.with_name(f"new-{path.name}"))
    status, out, _ = said("--if-changed")
    assert status == 0
    assert out.endswith("on these data, with this configuration: nothing is trained\n")
    assert [key for key in keys(tmp_path / "root") if key.startswith("runs/")] == runs
    assert len(trainer.trained) == 1


def test_a_run_that_is_named_again_is_not_taken_for_one_of_data_that_have_changed_since(
    tmp_path: Path, said: Said, trainer: Trainer
) -> None:
    named = ("--if-changed", "--name", "nightly")
    assert said(*named)[0] == 0
    assert said(*named)[:1] == (0,)
    draw(tmp_path / "images", 30)
    before = keys(tmp_path / "root")
    status, out, err = said(*named)
    assert (status, out) == (2, "")
    assert "--name: nightly: has begun on other data than are there now" in err
    assert keys(tmp_path / "root") == before
    assert said("--if-changed")[0] == 0
    assert len(trainer.trained) == 2


def test_a_run_that_is_named_again_goes_on_only_with_the_deletion_requests_of_its_plan(
    tmp_path: Path, said: Said, trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it was stopped before its data set was there, or has trained."""
    with monkeypatch.context() as stopped:
        stopped.setattr("unecho.components.prepare.step.packed", lambda *_: (_ for _ in ()).throw(Stopped(143, "")))
        assert said("--name", "nightly")[0] == 143
    name = min(path.name for path in (tmp_path / "images").iterdir())
    (tmp_path / "ids.txt").write_text(f"{name}\n")
    assert main(["forget", "--root", str(tmp_path / "root"), "--ids", str(tmp_path / "ids.txt")]) == 0
    assert said("--name", "nightly")[0] == 2
    assert trainer.trained == []
    assert said("--name", "later")[0] == 0
    last = max(path.name for path in (tmp_path / "images").iterdir())
    (tmp_path / "ids.txt").write_text(f"{last}\n")
    assert main(["forget", "--root", str(tmp_path / "root"), "--ids", str(tmp_path / "ids.txt")]) == 0
    status, _, err = said("--name", "later", "--if-changed")
    assert (status, "before a deletion request" in err) == (2, True)


def test_another_seed_is_a_change_and_another_place_of_execution_is_none(said: Said, trainer: Trainer) -> None:
    said("--if-changed")
    assert said("--if-changed", "--set", "execution.parallelism=1")[0] == 0
    assert len(trainer.trained) == 1
    assert said("--if-changed", "--set", "seed=1")[0] == 0
    assert len(set(trainer.trained)) == 2


def test_a_gate_that_is_not_passed_changes_nothing_and_says_why_and_where_the_pictures_are(
    tmp_path: Path, said: Said, trainer: Trainer
) -> None:
    said()
    released = {key: data for key, data in keys(tmp_path / "root").items() if key.startswith("models/")}
    draw(tmp_path / "images", 30)
    trainer.figures = WORSE
    status, out, _ = said("--if-changed")
    assert status == 1
    assert {key: data for key, data in keys(tmp_path / "root").items() if key.startswith("models/")} == released
    assert "frechet_pixels: 2.25 times the released model's, where <= 1.1 x is asked for" in out
    assert out.splitlines()[-1] == (
        f"The gate is not passed: 1 of 4 checks failed. Nothing was changed: dogs is number 1, of run "
        f"{trainer.trained[0]} stays"
    )
    pictures = next(line.split()[-1] for line in out.splitlines() if line.startswith("report "))
    assert Path(pictures).read_text() == f"<p>{trainer.trained[1]}"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["gate.json", "gate.md", "gate.xml"]


def test_given_again_a_run_that_was_not_let_pass_is_judged_and_not_trained_again(
    policy: Path, said: Said, trainer: Trainer
) -> None:
    trainer.figures = WORSE
    policy.write_text("smoke: allow\nquality: {frechet_pixels: {at_most: 4}}\n")
    assert said("--if-changed")[0] == 1
    policy.write_text("smoke: allow\nquality: {frechet_pixels: {at_most: 5}}\n")
    assert said("--if-changed")[0] == 0
    assert len(trainer.trained) == 1


def test_a_job_that_was_killed_between_gate_and_promotion_is_given_again_and_promotes_once(
    tmp_path: Path, said: Said, trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    promote = retraining.promote

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(retraining, "promote", killed)
    assert said()[0] == 130
    assert (tmp_path / "out" / "gate.json").is_file()
    assert history(tmp_path / "root") == []
    monkeypatch.setattr(retraining, "promote", promote)
    for _ in range(2):
        assert said()[0] == 0
    assert [one.run for one in history(tmp_path / "root")] == trainer.trained
    assert len(trainer.trained) == 1


def test_a_job_that_was_killed_after_its_record_has_promoted_and_the_next_one_mends_released_json(
    tmp_path: Path, said: Said
) -> None:
    said()
    model = ReleasedModel(open_store(str(tmp_path / "root")), "dogs")
    whole = model.store.get(model.pointer)
    for again in (("--if-changed",), ()):
        model.store.delete([model.pointer])
        assert said(*again)[0] == 0
        assert model.store.get(model.pointer) == whole
        assert model.numbers() == [1]


def with_data_set(run: Run) -> Run:
    run.commit(DatasetRecord(digest="d" * 64, samples=2, train_samples=1, held_out_samples=1, channels=1, resolution=8))
    return run


@pytest.mark.parametrize("kind", ["directory", "s3"])
def test_of_two_jobs_at_once_one_wins_and_the_other_says_who_was_first(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = str(tmp_path / "root") if kind == "directory" else str(request.getfixturevalue("s3_root"))
    append, start = ReleasedModel.append, threading.Barrier(2)

    def together(model: ReleasedModel, release: Release) -> Release:
        start.wait(60)
        return append(model, release)

    monkeypatch.setattr(ReleasedModel, "append", together)
    ended: dict[str, Outcome] = {}

    def job(name: str) -> None:
        run = with_data_set(finished(root, name, BETTER))
        model = ReleasedModel(run.store, "dogs")
        given = retraining.Retraining(model, read_policy(policy), f"job of {name}", tmp_path / name, if_changed=False)
        ended[name] = given.judge(run)

    jobs = [threading.Thread(target=job, args=(name,)) for name in "ab"]
    for one in jobs:
        one.start()
    for one in jobs:
        one.join()
    lost, won = sorted(ended, key=lambda name: ended[name].outcome)
    assert (ended[won].outcome, ended[lost].outcome) == ("promoted", "beaten")
    (only,) = history(root)
    assert (only.run, only.by) == (won, f"job of {won}")
    assert f"somebody else was first: job of {won} has promoted run {won}, which is number 1 now" in ended[lost].line
    assert ended[lost].number == 1


def test_a_job_that_was_beaten_ends_with_status_1_and_says_so_to_people_and_to_machines(
    tmp_path: Path, said: Said, trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    promote, other = retraining.promote, with_data_set(finished(tmp_path / "root", "other", BETTER))

    def after_another(run: Run, *words: Any) -> Any:
        promote(other, "dogs", "another job")
        return promote(run, *words)

    monkeypatch.setattr(retraining, "promote", after_another)
    status, out, err = said("--json")
    assert status == 1
    assert json.loads(out)["outcome"] == "beaten"
    (line,) = (line for line in err.splitlines() if line.startswith("unecho: "))
    assert "somebody else was first: another job has promoted run other, which is number 1 now" in line
    assert [one.run for one in history(tmp_path / "root")] == ["other"]
    monkeypatch.setattr(retraining, "promote", promote)
    assert said()[0] == 0, "given again, it is compared with the other one"
    assert [one.run for one in history(tmp_path / "root")] == ["other", *trainer.trained]


def test_what_a_person_took_back_is_not_released_again_but_other_data_are(
    tmp_path: Path, said: Said, trainer: Trainer
) -> None:
    root = tmp_path / "root"
    said("--if-changed")
    draw(tmp_path / "images", 30)
    said("--if-changed")
    roll_back(open_store(str(root)), "dogs", "ann")
    before = keys(root)
    status, out, err = said("--if-changed")
    assert (status, err) == (0, "")
    assert out == (
        f"dogs is number 3, of run {trainer.trained[0]} stays: what these data and this configuration give was taken "
        "back by ann (number 3): unecho promote RUN --model dogs releases it all the same\n"
    )
    status, out, err = said()
    assert (status, out) == (2, "")
    assert err.startswith(f"unecho: dogs is number 3, of run {trainer.trained[0]} stays: ")
    status, _, err = said("--run", root / "runs" / trainer.trained[1], of_data=False)
    assert (status, "was taken back by ann" in err) == (2, True)
    assert keys(root) == before
    draw(tmp_path / "images", 33)
    assert said("--if-changed")[0] == 0
    assert (history(root)[-1].number, history(root)[-1].run) == (4, trainer.trained[2])


def records(*kinds: str) -> list[Release]:
    """A history, written as "A" for the promotion of A and "<1" for a rollback to number 1."""
    made = list[Release]()
    for number, kind in enumerate(kinds, 1):
        back = int(kind[1:]) if kind[0] == "<" else None
        made.append(
            Release.model_construct(
                number=number,
                kind="promote" if back is None else "rollback",
                run=kind if back is None else made[back - 1].run,
                restores=back,
            )
        )
    return made


@pytest.mark.parametrize(
    ("written", "by"),
    [
        ("A", None),
        ("A B <1", 3),
        ("A B C", None),  # replaced by newer data, and the old ones have come back
        ("A B C <1", 4),  # whoever goes back to A passes over B too
        ("A B C <2 <1", 5),
        ("A B <1 B", None),  # and released again by hand
        ("A B C <2", None),
        ("A C", None),
        ("A B <1 C", 3),
    ],
)
def test_a_model_was_taken_back_if_a_rollback_went_from_it_or_past_it(written: str, by: int | None) -> None:
    back = taken_back(records(*written.split()), lambda release: release.run == "B")
    assert (back.number if back else None) == by


@pytest.mark.parametrize(
    ("policy_says", "options", "says"),
    [
        ("quality: {fidd: {at_most: 1}}", (), "gate.yaml: quality.fidd: no such figure; near ones are fid"),
        ("quality: {fid: {at_most: 1}}", (), "quality.fid: a run of this configuration will have none: evaluate.feat"),
        ("verdict: no_echo", (), "smoke: refuse, and file://"),
        ("smoke: allow", ("--name", "A"), "run name: 'A'"),
        ("smoke: allow", ("--model", "Dogs"), "model name: 'Dogs'"),
        ("smoke: allow", ("--by", "a\nb"), "--by: 'a\nb'"),
        ("smoke: allow", ("--out", "images/000.png/x"), "not a directory: choose another directory"),
        ("smoke: allow", ("--set", "data.source=none"), "data.source: none: no such directory"),
        ("smoke: allow", ("--set", "model.pretrained=released:dogs"), "released:dogs: nothing is released under that"),
        ("smoke: allow", ("--set", "audit.images=digits"), "audit: digits: nothing trains in an audit"),
    ],
)
def test_a_mistake_is_one_line_before_anything_trains(
    policy_says: str, options: tuple[str, ...], says: str, policy: Path, said: Said, trainer: Trainer
) -> None:
    policy.write_text(f"{policy_says}\n")
    status, out, err = said(*options)
    assert (status, out) == (2, "")
    lines = [line for line in err.splitlines() if line.startswith("unecho: ")]
    assert len(lines) == 1
    assert says in err
    assert trainer.trained == []


def test_a_figure_is_foreseen_by_the_field_that_it_needs(tmp_path: Path) -> None:
    def missing(policy: str, *settings: str) -> str:
        path = tmp_path / "policy.yaml"
        path.write_text(policy)
        try:
            check_foreseen(read_policy(path), resolve("tiny", settings=settings))
        except Exception as error:
            return str(error).removeprefix(f"{path}: ").replace(": a run of this configuration will have none", "")
        return ""

    assert missing((Path(__file__).parents[2] / "docs/gate.yaml").read_text()) == ""
    assert missing("verdict: no_echo", "data.held_out=0") == (
        "verdict: no_echo: it needs a floor: raise data.held_out, which is 0"
    )
    assert missing("memorization: {mq_0.15: {share_at_most: 0.1}}").startswith("memorization.mq_0.15: evaluate.thresh")
    assert missing("memorization: {mq_0.15: {share_at_most: 0.1}}", "evaluate.thresholds=0.1,0.15") == ""
    assert missing("memorization: {descriptor: {share_at_most: 0.1}}").endswith("set evaluate.descriptor")
    assert missing("quality: {recall_onnx: {at_least: 0.1}}").endswith("features are pixels: add onnx")
    assert missing("quality: {kid: {at_most: 0.1}}").endswith("features are pixels: add inception")
    assert missing("quality: {alignment: {at_least: 0.1}}").endswith("set evaluate.alignment_model")
    assert missing("quality: {drift_pixels: {at_most: 0.1}}").endswith("(model.family latents)")


def released(run: Run, objects: Any) -> None:
    """As "dogs", by hand."""
    model = ReleasedModel(run.store, "dogs")
    number = len(model.numbers()) + 1
    report = report_of(run)
    model.append(
        Release(
            model="dogs",
            number=number,
            kind="promote",
            by="ann",
            at="2026-11-26T12:00:00+00:00",
            code="0.1.0",
            attempt=f"{number:08x}",
            run=run.name,
            report=report.round,
            round=report.round,
            folder=str(report.model_folder),
            dataset="d" * 64,
            config="c" * 64,
            verdict="at_or_below",
            headline={},
            replaces=number - 1 or None,
            objects=objects,
        )
    )


def test_a_report_of_an_older_schema_is_compared_with_as_the_released_one(tmp_path: Path, said: Said) -> None:
    old = finished(tmp_path / "root", "old", kept(1))
    released(old, report_of(old).objects)
    status, out, _ = said("--if-changed")
    quality = kept(1).quality
    assert status == 0
    assert quality is not None
    ratio = 2 / (quality.frechet / quality.frechet_real)  # 2, where real images have 1
    assert f"2 ({ratio:.3g} x)  released {quality.frechet:.3g}  <= 1.1 x     pass" in out
    assert f"against  {old.url}" in out


def test_where_the_released_models_run_was_removed_its_report_is_compared_with_and_without_that_nothing_trains(
    tmp_path: Path, policy: Path, said: Said, trainer: Trainer
) -> None:
    root, old = tmp_path / "root", finished(tmp_path / "root", "old", BETTER)
    released(old, report_of(old).objects)
    shutil.rmtree(root / "runs/old/plans")
    assert said()[0] == 0, "its record names the report"
    assert main(["rollback", "dogs", "--root", str(root)]) == 0
    shutil.rmtree(root / "runs/old")
    draw(tmp_path / "images", 30)
    before, trained = keys(root), list(trainer.trained)
    status, _, err = said("--if-changed")
    assert status == 2
    assert err.startswith(f"unecho: file://{root}/models/dogs: number 3 is released, and the policy compares with its")
    assert err.endswith(f"unecho rollback dogs --root file://{root}\n")
    assert (keys(root), trainer.trained) == (before, trained)
    policy.write_text("smoke: allow\n")
    assert said("--if-changed")[0] == 0, "a policy that does not compare needs no other report"
    assert main(["rollback", "dogs", "--root", str(root)]) == 2
    assert history(root)[-1].number == 4, "a model that is gone does not come back"


def test_a_run_that_has_ended_is_gated_and_promoted_by_its_address(
    tmp_path: Path, said: Said, trainer: Trainer
) -> None:
    said("--name", "mine")
    run = tmp_path / "root/runs/mine"
    assert said("--run", run, of_data=False)[1].endswith(
        "released already, by " + history(tmp_path / "root")[0].by + "\n"
    )
    for options, says in (
        (("--run", run, "--set", "seed=1"), "--set: ['seed=1']: beside --run"),
        (("--run", run, "--root", tmp_path / "other"), "lies at another root than file://"),
        (("--run", tmp_path / "root/runs/none"), "no such run"),
    ):
        status, _, err = said(*options, of_data=False)
        assert (status, says in err, err.count("\n")) == (2, True, 1)
    assert trainer.trained == ["mine"]


def test_machines_read_the_outcome_on_standard_output_and_in_the_log(
    said: Said, trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    status, out, _ = said("--json")
    assert status == 0
    told = Outcome.model_validate_json(out)
    assert (told.outcome, told.number) == ("promoted", 1)
    assert told.gate is not None
    assert told.gate.passed
    assert told.run is not None
    assert told.run.endswith(f"/runs/{trainer.trained[0]}")
    assert told.folder is not None
    assert Path(told.folder.removeprefix("file://"), "model_index.json").is_file()
    assert json.loads(said("--json", "--if-changed")[1])["outcome"] == "unchanged"
    monkeypatch.setenv("UNECHO_LOG", "json")
    _, out, err = said("--if-changed")
    assert out == ""
    line = json.loads(err.splitlines()[-1])
    assert (line["outcome"], line["number"], line["level"]) == ("unchanged", 1, "info")


def test_a_release_of_an_older_program_is_the_same_configuration_where_its_plan_says_so(
    tmp_path: Path, said: Said, trainer: Trainer
) -> None:
    said()
    model = ReleasedModel(open_store(str(tmp_path / "root")), "dogs")
    older = model.load(1).model_copy(update={"config": "0" * 64, "code": "0.0.1"})
    model.store.put(model.key(1), older.model_dump_json(indent=1).encode())
    assert "nothing is trained" in said("--if-changed")[1]
    assert "nothing is trained" not in said("--if-changed", "--set", "seed=1")[1]
    assert len(trainer.trained) == 2


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[KfpApi]:
    for name in os.environ:
        if name.startswith("KF_PIPELINES_"):
            monkeypatch.delenv(name)
    monkeypatch.setattr(waiting, "EVERY_S", 0.0)
    with serving() as api:
        yield api


def test_on_kubeflow_the_same_command_submits_and_then_gates_and_promotes(
    s3_root: str, api: KfpApi, said: Said, trainer: Trainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submission, "_uploaded", lambda *given: Version("pipeline", "version"))  # it takes seconds
    words = ("--engine", "kubeflow", "--host", api.url, "--image", "unecho:test", "--if-changed")
    status, out, _ = said(*words, root=s3_root)
    assert status == 0
    (run,) = api.runs
    name = run["display_name"]
    assert run["runtime_config"]["parameters"]["address_run_name"] == name
    assert out.splitlines()[-1] == (
        f"{s3_root}/runs/{name}: under way: given again once it has ended, the same command gates and promotes it"
    )
    assert json.loads(said(*words, "--json", root=s3_root)[1])["outcome"] == "submitted"
    assert len(api.runs) == 1, "it is under way: no second one is started"

    planned = Run.at(s3_root, name)
    iet(Reporting(planned, planned.config(), trainer.figures, trainer.trained))
    assert said(*words, root=s3_root)[0] == 0
    assert (len(api.runs), [one.run for one in history(s3_root)]) == (1, [name])
    asked = len(api.requests)
    assert "nothing is trained" in said(*words, root=s3_root)[1]
    assert len(api.requests) == asked, "Kubeflow is not asked where nothing has changed"
    status, _, err = said(*words, root=tmp_path / "root")
    assert (status, "is not s3://bucket/prefix, which pods can reach" in err) == (2, True)


def test_on_kubeflow_it_waits_for_the_run_if_asked_and_promotes_it_then(
    s3_root: str, api: KfpApi, said: Said, trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.states.append([{"state": "SUCCEEDED", "run_details": {"task_details": []}}])
    words = ("--engine", "kubeflow", "--host", api.url, "--image", "unecho:test", "--name", "mine")
    start = Kubeflow.start

    def trains(*given: Any) -> str:
        run = Run.at(s3_root, "mine")
        iet(Reporting(run, config_of(given[4]), trainer.figures, trainer.trained))
        return start(*given)

    monkeypatch.setattr(Kubeflow, "start", trains)
    status, out, _ = said(*words, "--wait", root=s3_root)
    assert (status, [one["display_name"] for one in api.runs]) == (0, ["mine"])
    assert out.splitlines()[-2] == "dogs is number 1: model 2 of run mine, the first"


def test_a_deletion_request_is_a_change_where_it_takes_a_sample_out_and_none_where_it_does_not(
    tmp_path: Path, said: Said, trainer: Trainer
) -> None:
    root = tmp_path / "root"
    assert said("--if-changed")[0] == 0
    name = sorted(path.name for path in (tmp_path / "images").iterdir())[3]
    for line, trained in (("of/another.png", 1), (name, 2), (name, 2)):
        (tmp_path / "ids.txt").write_text(f"{line}\n")
        assert main(["forget", "--root", str(root), "--ids", str(tmp_path / "ids.txt")]) == 0
        assert said("--if-changed")[0] == 0
        assert len(set(trainer.trained)) == trained
    assert [one.number for one in history(root)] == [1, 2]
    _, out, _ = said("--if-changed")
    assert out.startswith(f"dogs is number 2, of run {trainer.trained[-1]}: on these data, with this configuration")

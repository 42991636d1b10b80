"""promote, rollback and released: a model under a name, by whom, and what it was before."""

import json
import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from tests.releases import be_killed, given, history, promote_together
from tests.runs import finish, tiny
from unecho.components.plan.step import plan
from unecho.components.run import Plan, ReportRecord, Run
from unecho.components.run.audited import audit_config
from unecho.components.run.released import Release, ReleasedModel, config_digest
from unecho.components.store import open_store
from unecho.pipelines.commands import main
from unecho.pipelines.gate.answer import gate_of
from unecho.pipelines.gate.policy import read_policy
from unecho.pipelines.releasing import promote, whoever

Said = Callable[..., tuple[int, str, str]]
FAILED = {"group": "report", "figure": "verdict", "limit": "no_echo", "shown": ["", "", ""], "passed": False}
SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Said:
    """Calls a command at 80 columns: exit status, output, errors."""
    monkeypatch.setenv("COLUMNS", "80")

    def call(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main([str(word) for word in words])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with two finished runs, `a` and `b`."""
    root = tmp_path_factory.mktemp("trained")
    for seed, name in enumerate("ab"):
        finish(Run.at(str(root), name), tiny("iet.rounds=1", f"seed={seed}"))
    return root


@pytest.fixture(params=["directory", "s3"])
def root(request: pytest.FixtureRequest, trained: Path, tmp_path: Path) -> str:
    """A copy of it, on both kinds of store."""
    if request.param == "directory":
        return str(shutil.copytree(trained, tmp_path / "root"))
    address = str(request.getfixturevalue("s3_root"))
    here, there = open_store(str(trained)), open_store(address)
    for stat in here.list(""):
        there.put(stat.key, here.get(stat.key))
    return address


@pytest.fixture
def here(trained: Path, tmp_path: Path) -> str:
    """A copy of it, in a directory."""
    return str(shutil.copytree(trained, tmp_path / "root"))


def gate(folder: Path, run: Run, **changed: object) -> Path:
    """A gate's result that lets the run's report pass, but for what is changed."""
    path = folder / "gate.json"
    policy = folder / "gate.yaml"
    policy.write_text("smoke: allow\nverdict: not_echo\n")
    result = gate_of(run, read_policy(policy), None)
    assert result.passed
    path.write_text(json.dumps(result.model_dump(mode="json") | changed))
    return path


def standing(root: str) -> Release:
    """What released.json says."""
    return Release.model_validate_json(open_store(root).get("models/dogs/released.json"))


def test_promote_says_who_released_what_from_which_run_on_which_data_and_by_which_verdict(
    here: str, said: Said, tmp_path: Path
) -> None:
    run = Run.at(here, "a")
    status, out, _ = said("promote", run.url, "--model", "dogs", "--by", "ann", "--gate", gate(tmp_path, run))
    assert status == 0
    report, now = run.load(ReportRecord, 1), standing(here)
    assert (now.number, now.kind, now.by, now.run, now.report, now.round) == (1, "promote", "ann", "a", 1, 1)
    assert f"{now.folder}/model_index.json" == report.objects["model/model_index.json"].key
    assert now.dataset == json.loads(run.store.get("runs/a/dataset.json"))["digest"]
    assert now.config == config_digest(run.load(Plan, 0))
    assert (now.verdict, now.headline, now.objects) == ("undecided", report.headline, report.objects)
    assert now.smoke is not None
    assert now.gate == sha256((tmp_path / "gate.json").read_bytes()).hexdigest()
    assert (now.policy, now.replaces, now.restores) == (
        sha256((tmp_path / "gate.yaml").read_bytes()).hexdigest(),
        None,
        None,
    )
    assert out == (f"dogs is number 1: model 1 of run a, the first\nmodel   {run.store.address(now.folder)}\n")
    assert said("promote", f"{here}/runs/b", "--model", "dogs")[1].startswith(
        "dogs is number 2: model 1 of run b, in place of 1, of run a\n"
    )
    assert standing(here).replaces == 1


def test_what_is_released_already_is_not_released_twice_unless_a_gate_has_judged_it_since(
    here: str, said: Said, tmp_path: Path
) -> None:
    run = Run.at(here, "a")
    words = ("promote", run.url, "--model", "dogs")
    said(*words)
    status, out, _ = said(*words)
    assert status == 0
    assert "already released: nothing to do" in out
    model = ReleasedModel(run.store, "dogs")
    judged = (*words, "--gate", gate(tmp_path, run))
    for command, numbers in ((words, [1]), (judged, [1, 2]), (judged, [1, 2]), (words, [1, 2])):
        assert said(*command)[0] == 0
        assert model.numbers() == numbers
    status, _, err = said("rollback", "dogs", "--root", here)
    assert status == 2
    assert "number 1 is the first: there is nothing before it to go back to" in err, "both are the same model"


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"passed": False}, "the gate was not passed: file://"),
        ({"report_sha256": "0" * 64}, "of another report than that of file://"),
        ({"checks": [FAILED]}, "the gate was not passed: file://"),
        ({"passed": "perhaps"}, "altered: passed: Input should be a valid boolean"),
    ],
)
def test_a_gate_that_failed_or_is_of_another_report_promotes_nothing(
    changed: dict[str, object], says: str, here: str, said: Said, tmp_path: Path
) -> None:
    run = Run.at(here, "a")
    path = gate(tmp_path, run, **changed)
    status, _, err = said("promote", run.url, "--model", "dogs", "--gate", path)
    assert status == 2
    assert says in err
    assert str(path) in err
    assert err.count("\n") == 1
    assert list(run.store.list("models/")) == []


def test_what_cannot_be_promoted_is_one_line(here: str, said: Said, tmp_path: Path) -> None:
    run = Run.at(here, "a")
    plan(Run(run.store, "planned"), tiny())
    plan(Run(run.store, "audit"), audit_config(run.store, run.url))
    elsewhere = tmp_path / "elsewhere"
    for words, says in (
        (("runs/planned",), "not finished (planned, 3 rounds): start it again and it goes on, then promote"),
        (("runs/audit",), "an audit releases no model: promote the run that trained it"),
        (("runs/none",), "no such run"),
        (("runs/a", "--root", elsewhere), f"lies at another root than file://{elsewhere}"),
        (("runs/a", "--gate", elsewhere / "gate.json"), "no such file: unecho gate file://"),
        (("runs/a", "--by", "ann\nbob"), "--by: 'ann\nbob': a name in one line"),
        (("runs/a", "--model", "Dogs"), "model name: 'Dogs': use at most 48 lower-case letters"),
    ):
        address, *options = words
        status, _, err = said("promote", f"{here}/{address}", "--model", "dogs", *options)
        assert (status, says in err) == (2, True), err
    run.store.delete([run.load(ReportRecord, 1).objects["model/model_index.json"].key])
    status, _, err = said("promote", run.url, "--model", "dogs")
    assert status == 2
    assert "model_index.json, which is missing: it cannot be released" in err
    assert list(run.store.list("models/")) == []


def test_of_two_jobs_that_promote_at_once_one_wins_and_the_other_says_so(root: str, tmp_path: Path) -> None:
    start = SPAWN.Barrier(2)
    told = {name: tmp_path / f"{name}.txt" for name in "ab"}
    jobs = {
        name: SPAWN.Process(target=promote_together, args=(root, name, start, str(told[name]), dict(os.environ)))
        for name in "ab"
    }
    for job in jobs.values():
        job.start()
    for job in jobs.values():
        job.join()
    status = {name: job.exitcode for name, job in jobs.items()}
    assert sorted(map(str, status.values())) == ["0", "1"], {name: path.read_text() for name, path in told.items()}
    won, lost = sorted(status, key=lambda name: status[name] or 0)
    assert told[won].read_text() == ""
    assert told[lost].read_text() == (
        f"unecho: {open_store(root).url}/models/dogs: somebody else was first: job of {won} has promoted run {won}, "
        f"which is number 1 now. Nothing was changed: unecho released dogs --root {open_store(root).url}\n"
    )
    assert ReleasedModel(open_store(root), "dogs").numbers() == [1]
    assert standing(root).run == won


def test_what_a_gate_has_compared_with_may_be_the_only_one_that_is_replaced(here: str, said: Said) -> None:
    words = ("promote", f"{here}/runs/b", "--model", "dogs", "--replaces")
    promote(Run.at(here, "a"), "dogs", "ann")
    status, _, err = said(*words, 0)
    assert status == 1
    assert "somebody else was first: ann has promoted run a, which is number 1 now. Nothing was changed" in err
    assert standing(here).run == "a"
    assert said(*words, 1)[0] == 0
    assert said(*words, 1)[0] == 0, "given again, it is done already"
    assert (standing(here).run, standing(here).number) == ("b", 2)


def test_a_gate_that_has_compared_with_what_is_no_longer_released_has_to_judge_anew(
    here: str, said: Said, tmp_path: Path
) -> None:
    run, name = Run.at(here, "b"), ReleasedModel(open_store(here), "dogs").url
    words = ("promote", run.url, "--model", "dogs")
    compared = gate(tmp_path, run, model=name, number=0)
    promote(Run.at(here, "a"), "dogs", "ann")
    status, _, err = said(*words, "--gate", compared)
    assert status == 1
    assert "somebody else was first: ann has promoted run a" in err
    assert standing(here).run == "a"
    assert said(*words, "--gate", gate(tmp_path, run, model=name, number=1))[0] == 0
    assert said(*words, "--gate", compared)[0] == 0, "it is released already"
    cats = ("promote", run.url, "--model", "cats", "--gate", compared)
    assert said(*cats)[0] == 0, "what was compared under another name says nothing of this one"


def kill(root: str, work: str) -> None:
    job = SPAWN.Process(target=be_killed, args=(root, work, dict(os.environ)))
    job.start()
    job.join()
    assert job.exitcode == -signal.SIGKILL


def test_a_job_that_is_killed_between_the_record_and_released_json_has_promoted_and_whoever_looks_mends_it(
    root: str, said: Said
) -> None:
    promote(Run.at(root, "a"), "dogs", "ann")
    kill(root, "promote")
    assert standing(root).run == "a", "behind"
    status, out, _ = said("released", "dogs", "--root", root)
    assert status == 0
    assert out.startswith("dogs is number 2: model 1 of run b\n"), "the history is the truth"
    assert standing(root).run == "b"


def test_a_promotion_or_a_rollback_that_was_killed_may_be_given_again(here: str, said: Said) -> None:
    model = ReleasedModel(open_store(here), "dogs")
    promote(Run.at(here, "a"), "dogs", "ann")
    kill(here, "promote")
    assert said("promote", f"{here}/runs/b", "--model", "dogs")[0] == 0
    assert (model.numbers(), standing(here).run) == ([1, 2], "b")
    kill(here, "rollback")
    assert standing(here).run == "b"
    status, out, _ = said("rollback", "dogs", "--root", here)
    assert (status, model.numbers(), standing(here).run) == (0, [1, 2, 3], "a"), "it does not go back twice"
    assert "already released: nothing to do" in out


def test_one_rollback_after_another_goes_further_back_and_a_number_goes_anywhere(tmp_path: Path, said: Said) -> None:
    root = str(tmp_path)
    model = history("abc", root)

    def back(*options: object) -> tuple[int, str]:
        status = said("rollback", "dogs", "--root", root, "--by", "bob", *options)[0]
        return status, standing(root).run

    assert back() == (0, "b")
    now = standing(root)
    assert (now.number, now.kind, now.by, now.replaces, now.restores) == (4, "rollback", "bob", 3, 2)
    assert back() == (0, "a")
    assert back() == (2, "a"), "there is nothing before the first"
    assert back("--to", 3) == (0, "c")
    assert back("--to", 4) == (0, "b"), "a rollback stands for what it went back to"
    assert model.numbers() == [1, 2, 3, 4, 5, 6, 7]
    assert back("--to", 2) == (0, "b")
    assert model.numbers() == [1, 2, 3, 4, 5, 6, 7], "that is released already"
    assert back("--to", 99) == (2, "b")
    model.append(given(Run(model.store, "d"), 8))
    assert back() == (0, "b"), "what the promotion has replaced, not the promotion before it"


def test_a_rollback_to_a_model_whose_run_was_removed_is_one_line_and_changes_nothing(root: str, said: Said) -> None:
    for name in "ab":
        promote(Run.at(root, name), "dogs", "ann")
    store = open_store(root)
    store.delete([stat.key for stat in store.list("runs/a/")])
    status, _, err = said("rollback", "dogs", "--root", root)
    assert status == 2
    assert err.startswith(
        f"unecho: {store.url}/models/dogs: number 1, whose run a was removed, names {store.url}/runs/a/"
    )
    assert err.endswith(", which is missing: it cannot be released\n")
    assert err.count("\n") == 1
    assert ReleasedModel(store, "dogs").numbers() == [1, 2]
    assert standing(root).run == "b"


def test_gc_keeps_a_model_to_go_back_to_though_the_records_of_its_run_are_gone(here: str, said: Said) -> None:
    for name in "ab":
        promote(Run.at(here, name), "dogs", "ann")
    store = open_store(here)
    gone = [stat.key for stat in store.list("runs/a/") if stat.key.endswith(".json") and stat.key.count("/") < 5]
    store.delete([key for key in gone if "/release/" not in key and "report.json" not in key])
    assert said("gc", here, "--older-than", "0s", "--delete")[0] == 0
    assert not list(store.list("runs/a/models/")), "gc was there"
    assert said("rollback", "dogs", "--root", here)[0] == 0
    assert standing(here).run == "a"


def test_released_shows_each_name_and_its_history_within_80_columns(root: str, said: Said) -> None:
    address = open_store(root).url
    assert said("released", "--root", root) == (0, f"root {address}: no model is released there\n", "")
    assert said("released", "dogs", "--root", root)[0] == 2
    for name in "ab":
        promote(Run.at(root, name), "dogs", f"job of {name}")
    said("promote", f"{root}/runs/a", "--model", "cats")
    said("rollback", "dogs", "--root", root, "--by", "ann")
    status, out, _ = said("released", "--root", root)
    assert status == 0
    assert [line.split()[:2] for line in out.splitlines()[3:] if not line.startswith(" ")] == [
        ["cats", "a"],
        ["dogs", "a,"],
    ]
    assert max(map(len, out.splitlines()[1:])) <= 80
    status, out, _ = said("released", "dogs", "--root", root)
    assert out.startswith("dogs is number 3: model 1 of run a, back to 1\n")
    table = out[out.index("number  run") :].splitlines()
    assert [line.split()[0] for line in table[1:] if not line.startswith(" ")] == ["3", "2", "1"]
    assert max(map(len, table)) <= 80
    answer = json.loads(said("released", "dogs", "--root", root, "--json")[1])
    (model,) = answer["models"]
    assert model["folder"] == f"{address}/{model['current']['folder']}"
    assert [one["number"] for one in model["history"]] == [1, 2, 3]
    assert model["current"] == model["history"][-1] == json.loads(standing(root).model_dump_json())
    assert [one["name"] for one in json.loads(said("released", "--root", root, "--json")[1])["models"]] == [
        "cats",
        "dogs",
    ]


def test_who_may_only_read_sees_what_is_released_and_is_told_that_released_json_is_behind(
    tmp_path: Path, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = history("ab", str(tmp_path))
    model.store.delete([model.pointer])

    def refused(store: object, key: str, data: object) -> None:
        raise PermissionError(f"{key}: permission denied")

    monkeypatch.setattr(type(model.store), "put", refused)
    status, out, err = said("released", "dogs", "--root", tmp_path)
    assert status == 0
    assert out.startswith("dogs is number 2: model 3 of run b\n")
    assert err == (
        f"file://{tmp_path}/models/dogs/released.json: behind its history, and not mended: models/dogs/released.json: "
        "permission denied\n"
    )


def test_who_decides_is_as_given_or_the_ci_systems_actor_or_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    assert whoever(" ann ", {"GITHUB_ACTOR": "bot"}) == "ann"
    assert whoever(None, {"GITHUB_ACTOR": "bot"}) == "bot"
    assert whoever(None, {"GITLAB_USER_LOGIN": "bob", "GITHUB_ACTOR": ""}) == "bob"
    monkeypatch.setenv("LOGNAME", "carl")
    assert whoever(None, {}) == "carl"

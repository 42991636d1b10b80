"""The templates for CI systems: valid by the systems' own schemas, and their shell lines retrain, here and for real."""

import json
import os
import re
import subprocess
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.test_workflows import PROGRAMS, TREE, StandIns, schema_check, workflow
from unecho.components.run.released import ReleasedModel
from unecho.components.store import open_store
from unecho.pipelines.commands import main

GITHUB, GITLAB = (TREE / "manifests/ci" / name for name in ("github-actions.yml", "gitlab-ci.yml"))
SECRETS = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL_S3"}
LENIENT = "smoke: allow\nverdict: not_echo\n"
STRICT = LENIENT + "quality: {frechet_pixels: {at_most: 0.000001}}\n"


@dataclass
class Runner:
    """Runs a template's shell block in a folder as a CI system does. `unecho` is answered by this process, which has
    loaded it already.

    Attributes:
        asked: command lines of `unecho`, in order.
    """

    folder: Path
    asked: list[list[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        programs = self.folder / "unecho/.venv/bin"
        programs.mkdir(parents=True)
        os.mkfifo(self.folder / "reply")
        stub = programs / "unecho"
        stub.write_text(
            f'#!/bin/bash\ncd {self.folder}\nprintf "%s\\n" "$@" >asking\nmv asking asked\n'
            '{ read -r status; cat; } <reply\nexit "$status"\n'
        )
        stub.chmod(0o755)

    def run(self, script: str, environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> int:
        """The exit status of the block; what it prints goes to `log`."""
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(self.folder)
        path = f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}"
        with (self.folder / "log").open("w") as log:
            process = subprocess.Popen(
                ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
                cwd=self.folder,
                env=os.environ | {"PATH": path},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
            try:
                while True:
                    try:
                        return process.wait(timeout=0.05)
                    except subprocess.TimeoutExpired:
                        self._answer()
            finally:
                process.kill()

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def _answer(self) -> None:
        question = self.folder / "asked"
        if not question.exists():
            return
        self.asked.append(question.read_text().splitlines())
        question.unlink()
        with redirect_stdout(StringIO()) as said:
            try:
                status: Any = main(self.asked[-1])
            except SystemExit as end:  # options that the program does not take
                status = end.code
        (self.folder / "reply").write_text(f"{status}\n{said.getvalue()}")


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runner:
    """A checked-out repository with a configuration."""
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)  # of the runner that this test may run on
    (tmp_path / "unecho.yaml").write_text("preset: tiny\niet: {rounds: 1}\n")
    return Runner(tmp_path)


def github_step(name: str) -> dict[str, Any]:
    (found,) = (step for step in workflow(GITHUB)["jobs"]["retrain"]["steps"] if step.get("name") == name)
    return dict(found)


def gitlab_job() -> dict[str, Any]:
    return dict(workflow(GITLAB)["unecho-retrain"])


def test_the_templates_are_valid_by_the_schemas_of_their_systems(tmp_path: Path) -> None:
    for path, schema, good, bad in (
        (GITHUB, "vendor.github-workflows", "runs-on:", "run-on:"),
        (GITLAB, "vendor.gitlab-ci", "resource_group:", "resource_groups:"),
    ):
        done = schema_check(schema, path)
        assert done.returncode == 0, done.stdout
        broken = tmp_path / path.name
        broken.write_text(path.read_text().replace(good, bad, 1))
        assert schema_check(schema, broken).returncode == 1, "it would be told"


def test_one_job_at_a_time_and_none_is_ended_for_another() -> None:
    assert workflow(GITHUB)["concurrency"] == {"group": "unecho-retrain", "cancel-in-progress": False}
    job = gitlab_job()
    assert (job["resource_group"], job["interruptible"]) == ("unecho-retrain", False)


def test_on_github_the_token_may_only_read_and_secrets_reach_the_steps_that_speak_to_the_store() -> None:
    read = workflow(GITHUB)
    assert read["permissions"] == {"contents": "read"}
    assert "pull_request" not in read[True], "a stranger's branch gets no secret"
    assert "secrets." not in json.dumps(read.get("env", {}))
    job = read["jobs"]["retrain"]
    with_secrets = [step.get("name") for step in job["steps"] if "secrets." in json.dumps(step)]
    assert with_secrets == ["Retrain", "The report, without training images"]
    assert set(re.findall(r"secrets\.(\w+)", GITHUB.read_text())) == SECRETS
    assert [step for step in job["steps"] if "${{" in step.get("run", "")] == [], "no expression in a shell block"
    for step in job["steps"]:
        assert re.fullmatch(r"actions/[a-z-]+@v\d+", step.get("uses", "actions/checkout@v6"))


def test_no_host_and_no_picture_of_a_training_image_stands_in_a_template() -> None:
    for path in (GITHUB, GITLAB):
        addresses = re.findall(r"\w+://[\w.-]+", path.read_text())
        assert set(addresses) == {"s3://bucket"}
        assert "report.html" not in path.read_text()
    upload = workflow(GITHUB)["jobs"]["retrain"]["steps"][-1]
    assert (upload["if"], upload["with"]["path"]) == ("always()", "gate")
    kept = gitlab_job()["artifacts"]
    assert (kept["when"], kept["paths"], kept["reports"]["junit"]) == ("always", ["gate/"], "gate/gate.xml")


@pytest.mark.parametrize("system", ["github", "gitlab"])
def test_packages_come_from_the_lock_with_hashes(system: str, tmp_path: Path, stand_ins: StandIns) -> None:
    script = github_step("Install")["run"] if system == "github" else "\n".join(gitlab_job()["before_script"])
    copied = f"mkdir -p unecho && cp {TREE}/Makefile {TREE}/pyproject.toml {TREE}/requirements.txt unecho"
    stand_ins.add("git", copied)
    stand_ins.add("uv", '[ "$1" != venv ] || { mkdir -p .venv/bin && ln -s /bin/true .venv/bin/python; }')
    if system == "github":
        subprocess.run(["bash", "-c", copied], cwd=tmp_path, check=True)
    environment = {"PATH": stand_ins.path, "UNECHO_REF": "v0.1.0", "UNECHO_REPOSITORY": "https://git.example.com/u"}
    done = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert stand_ins.asked[-2:] == [
        "uv pip install --quiet --require-hashes -r requirements.txt",
        "uv pip install --quiet --no-deps -e .",
    ]
    if system == "gitlab":
        assert stand_ins.asked[0] == "git clone --quiet --depth 1 --branch v0.1.0 https://git.example.com/u unecho"


@pytest.fixture
def stand_ins(tmp_path: Path) -> StandIns:
    folder = tmp_path / "programs"
    folder.mkdir()
    return StandIns(folder)


def test_the_lines_retrain_gate_and_promote_tell_a_gate_that_failed_and_end_at_once_on_unchanged_data(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GitLab's job first, by a policy that nothing passes; GitHub's then goes on with the same run."""
    root, folder = f"{runner.folder}/root", runner.folder
    model = ReleasedModel(open_store(root), "digits")

    job = gitlab_job()
    (folder / "gate.yaml").write_text(STRICT)
    project = {"CI_PROJECT_PATH": "group/" + "p" * 120, "CI_JOB_ID": "7"}
    environment = {"UNECHO_ROOT": root, "UNECHO_MODEL": "digits", "UNECHO_OPTIONS": "", **project}
    assert runner.run("\n".join(job["script"]), environment, monkeypatch) == 1
    assert model.current() is None
    assert "| FAIL |" in runner.log
    assert "The gate is not passed: 1 of 3 checks failed. Nothing was changed" in runner.log.splitlines()[-1]
    assert ElementTree.parse(folder / job["artifacts"]["reports"]["junit"]).getroot().get("failures") == "1"
    variables = dict(
        line.split("=", 1) for line in (folder / job["artifacts"]["reports"]["dotenv"]).read_text().split()
    )
    assert variables["UNECHO_OUTCOME"] == "failed"
    assert runner.run("\n".join(job["after_script"]), {}, monkeypatch) == 0
    assert runner.asked[-1][:2] == ["pull", variables["UNECHO_RUN"]]
    assert {path.name for path in (folder / "gate").iterdir()} == {"gate.json", "gate.md", "gate.xml", "shared.html"}

    (folder / "gate.yaml").write_text(LENIENT)
    output, summary = folder / "output", folder / "summary"
    environment = {
        "UNECHO": "unecho/.venv/bin/unecho",
        "ROOT": root,
        "MODEL": "digits",
        "OPTIONS": "--set seed=0",
        "GITHUB_REPOSITORY": "me/dogs",
        "GITHUB_RUN_ID": "42",
        "GITHUB_OUTPUT": str(output),
        "GITHUB_STEP_SUMMARY": str(summary),
    }
    retrain = github_step("Retrain")["run"]
    assert runner.run(retrain, environment, monkeypatch) == 0, runner.log
    first = model.current()
    assert first is not None
    assert (first.number, first.by) == (1, "me/dogs, run 42")
    assert first.run == variables["UNECHO_RUN"].rpartition("/")[2], "the run that the other policy had refused"
    told = dict(line.split("=", 1) for line in output.read_text().splitlines())
    assert told == {
        "outcome": "promoted",
        "folder": model.store.address(first.folder),
        "run": variables["UNECHO_RUN"],
    }
    assert summary.read_text().startswith("## Gate passed")
    assert summary.read_text().rstrip().endswith("digits is number 1: model 1 of run " + first.run + ", the first")

    assert runner.run(retrain, environment, monkeypatch) == 0
    assert output.read_text().splitlines()[-3] == "outcome=unchanged"
    assert model.current() == first


def test_a_mistake_on_github_is_told_beside_the_job_and_has_its_own_status(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    (runner.folder / "gate.yaml").write_text("verdict: maybe\n")
    files = {name: str(runner.folder / name.lower()) for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
    of_job = {"GITHUB_REPOSITORY": "me/dogs", "GITHUB_RUN_ID": "42", "OPTIONS": ""}
    environment = {"UNECHO": "unecho/.venv/bin/unecho", "ROOT": f"{runner.folder}/root", "MODEL": "digits"}
    assert runner.run(github_step("Retrain")["run"], environment | files | of_job, monkeypatch) == 2
    assert runner.log.splitlines()[-1].startswith("::error title=Trying again cannot help::")
    assert not (runner.folder / "root").exists()

"""The public CI: valid, harmless, and made of lines that do here what they shall do there.

GitHub's runners are not at hand. What can be run without one is run: the linters as they are, the rest with stand-ins
for the programs that would install, build or start something. A stand-in writes down what it is asked.
"""

import ast
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

TREE = Path(__file__).parent.parent
FILES = sorted((TREE / ".github" / "workflows").glob("*.yml"))
PROGRAMS = Path(sys.executable).parent
GATEWAYS = "fc00:f853:ccd:e793::1\n172.18.0.1\n"


def workflow(path: Path) -> dict[str, Any]:
    """A workflow as plain data; YAML 1.1 reads its `on` as true."""
    read: dict[str, Any] = yaml.safe_load(path.read_text())
    return read


@dataclass(frozen=True)
class Step:
    """A step that runs a shell block.

    Attributes:
        environment: what the workflow, the job and the step set.
    """

    job: str
    name: str
    script: str
    environment: Mapping[str, str]

    def lines(self) -> list[list[str]]:
        """The words of each line."""
        return [words for line in self.script.splitlines() if (words := shlex.split(line, comments=True))]

    def run(self, folder: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
        """As a runner does, with the programs of this Python for those of .venv."""
        script = self.script.replace(".venv/bin/", f"{shlex.quote(str(PROGRAMS))}/")
        clean = {
            name: value for name, value in os.environ.items() if not name.startswith(("UNECHO_", "MAKE", "MFLAGS"))
        }
        return subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
            cwd=folder,
            env=clean | {"RUFF_NO_CACHE": "true"} | dict(self.environment) | environment,
            capture_output=True,
            text=True,
        )


def steps() -> Iterator[Step]:
    for path in FILES:
        read = workflow(path)
        for job, body in read["jobs"].items():
            for number, step in enumerate(body["steps"]):
                if "run" in step:
                    parts = (read.get("env", {}), body.get("env", {}), step.get("env", {}))
                    environment = {name: value for part in parts for name, value in part.items() if "${{" not in value}
                    yield Step(job, step.get("name", f"step {number}"), step["run"], environment)


STEPS = list(steps())


def asking() -> str:
    """The code of the tests that looks for services."""
    files = [*sorted((TREE / "tests" / "services").glob("*.py")), TREE / "tests/pipelines/jobs/conftest.py"]
    return "".join(path.read_text() for path in files)


def is_made(target: str) -> bool:
    """Whether the Makefile has a rule for it; that a folder has the name is not enough."""
    command = ["make", "--dry-run", "--always-make", target]
    done = subprocess.run(command, cwd=TREE, env=os.environ | {"LC_ALL": "C"}, capture_output=True, text=True)
    return done.returncode == 0 and "Nothing to be done" not in done.stdout


def step(job: str, name: str) -> Step:
    (found,) = (each for each in STEPS if (each.job, each.name) == (job, name))
    return found


def pythons(job: str) -> list[str]:
    (body,) = (read["jobs"][job] for read in map(workflow, FILES) if job in read["jobs"])
    listed: list[str] = body["strategy"]["matrix"]["python"]
    return listed


@dataclass(frozen=True)
class StandIns:
    """Programs that only write down what they are asked.

    Attributes:
        folder: goes first on the path.
    """

    folder: Path

    def add(self, name: str, does: str = "") -> None:
        """
        Args:
            does: shell lines that it runs besides.
        """
        program = self.folder / name
        program.write_text(f'#!/bin/bash\nprintf "%s\\n" "${{0##*/}} $*" >>{shlex.quote(str(self._log))}\n{does}\n')
        program.chmod(0o755)

    @property
    def path(self) -> str:
        return f"{self.folder}{os.pathsep}{os.environ['PATH']}"

    @property
    def asked(self) -> list[str]:
        return self._log.read_text().splitlines() if self._log.exists() else []

    @property
    def _log(self) -> Path:
        return self.folder / "asked.txt"


@pytest.fixture
def stand_ins(tmp_path: Path) -> StandIns:
    folder = tmp_path / "programs"
    folder.mkdir()
    return StandIns(folder)


def schema_check(schema: str, path: Path) -> "subprocess.CompletedProcess[str]":
    """Check a file against a schema that the package check-jsonschema holds: no network."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(path)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_workflow_is_valid_by_githubs_schema(path: Path) -> None:
    done = schema_check("vendor.github-workflows", path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_schema_refuses_a_job_that_runs_nowhere_and_a_key_that_is_none(tmp_path: Path) -> None:
    good = FILES[0].read_text()
    for number, (old, new) in enumerate([("runs-on:", "run-on:"), ("permissions:", "permission:")]):
        bad = tmp_path / f"{number}.yml"
        bad.write_text(good.replace(old, new, 1))
        assert bad.read_text() != good
        assert schema_check("vendor.github-workflows", bad).returncode == 1


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_workflow_may_only_read_needs_no_secret_and_ends(path: Path) -> None:
    read, text = workflow(path), path.read_text()
    assert read["permissions"] == {"contents": "read"}
    assert read["concurrency"]["cancel-in-progress"] is True
    assert read["defaults"]["run"]["shell"] == "bash", "which is bash -eo pipefail: a failed part fails the step"
    assert "pull_request_target" not in text
    assert "secrets." not in text
    assert "://" not in text, "no host is written"
    for name, job in read["jobs"].items():
        assert 0 < job["timeout-minutes"] <= 120, name
        assert "permissions" not in job, name
        for used in (each["uses"] for each in job["steps"] if "uses" in each):
            assert re.fullmatch(r"[\w.-]+/[\w./-]+@(v\d+(\.\d+\.\d+)?|[0-9a-f]{40})", used), f"not pinned: {used}"


def test_no_shell_block_has_an_expression_put_into_it() -> None:
    assert [each.name for each in STEPS if "${{" in each.script] == []


@pytest.mark.parametrize("each", STEPS, ids=lambda each: f"{each.job}: {each.name}")
def test_bash_takes_a_shell_block_and_what_it_names_is_in_the_tree(each: Step) -> None:
    done = subprocess.run(["bash", "-n"], input=each.script, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for words in each.lines():
        if words[0] == "make":
            targets = [word for word in words[1:] if "=" not in word and not word.startswith("<")]
            assert targets
            assert [target for target in targets if not is_made(target)] == []
            continue
        for word in words:
            if word.startswith(".venv/bin/"):
                assert (PROGRAMS / word.removeprefix(".venv/bin/")).is_file(), word
            elif re.fullmatch(r"[\w.][\w.-]*(/[\w.-]+)+", word):
                assert (TREE / word).exists(), word


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_cache_goes_by_a_lock_that_is_there(path: Path) -> None:
    keys = [
        each["with"]["key"]
        for job in workflow(path)["jobs"].values()
        for each in job["steps"]
        if each.get("uses", "").startswith("actions/cache@")
    ]
    assert keys
    for key in keys:
        (lock,) = re.findall(r"hashFiles\('([^']+)'\)", key)
        assert (TREE / lock).is_file()
        assert "matrix.python" in key


def test_the_variables_of_unecho_are_those_that_the_tests_read_and_a_cluster_gets_all_of_them() -> None:
    for path in FILES:
        named = set(re.findall(r"UNECHO_[A-Z0-9_]+", path.read_text()))
        assert named
        assert {name for name in named if f'"{name}"' not in asking()} == set()
    cluster = step("cluster", "Tests").environment
    given = set(cluster) | set(re.findall(r'"([A-Z_]+)=', step("cluster", "A cluster that has the image").script))
    assert {"KUBECONFIG", "UNECHO_TEST_IMAGE", "UNECHO_TEST_HOST", "UNECHO_REQUIRE"} <= given
    demanded = set(re.findall(r'demand\(\s*"(\w+)"', asking()))
    assert set(cluster["UNECHO_REQUIRE"].split(",")) == demanded, "on a cluster no test is skipped"
    assert step("test", "Tests").environment["UNECHO_REQUIRE"] in demanded


def test_the_lowest_python_is_tried_and_the_clusters_is_the_images() -> None:
    allowed = tomllib.loads((TREE / "pyproject.toml").read_text())["project"]["requires-python"]
    for job in ("lint", "test"):
        lowest = min(pythons(job), key=lambda version: [int(part) for part in version.split(".")])
        assert allowed == f">={lowest}", "and none below it"
    (base,) = re.findall(r"^ARG BASE=\S*python:(\d+\.\d+)", (TREE / "images" / "Containerfile").read_text(), re.M)
    assert pythons("cluster") == [base], "numpy's version goes by Python's, and bytes are compared"


def test_lint_and_types_are_what_make_test_begins_with() -> None:
    listed = subprocess.run(
        ["make", "--dry-run", "--assume-old", ".venv/test.stamp", "test"], cwd=TREE, capture_output=True, text=True
    )
    lines = [line for line in listed.stdout.splitlines() if line.startswith(".venv/bin/")]
    assert [*step("lint", "Lint and types").script.splitlines(), ".venv/bin/pytest"] == lines


def test_the_lines_of_the_linters_pass_on_this_tree() -> None:
    written = step("lint", "Lint and types")
    quick = "\n".join(line for line in written.script.splitlines() if "/ruff " in line)
    assert quick.count("\n") == 1, "format and check"
    done = Step(written.job, written.name, quick, written.environment).run(TREE)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("job", ["lint", "test", "cluster"])
def test_packages_come_from_the_lock_with_hashes_into_a_fresh_environment(
    job: str, tmp_path: Path, stand_ins: StandIns
) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    for name in ("Makefile", "pyproject.toml", "requirements-test.txt"):
        (tree / name).write_bytes((TREE / name).read_bytes())
    stand_ins.add("python")
    stand_ins.add("uv", '[ "$1" != venv ] || { mkdir -p .venv/bin && ln -s /bin/true .venv/bin/python; }')
    written = step(job, "Packages from the lock")
    done = written.run(tree, PATH=stand_ins.path)
    assert done.returncode == 0, done.stderr
    assert stand_ins.asked == [
        "python -m pip install --quiet uv",
        f"uv venv --python {stand_ins.folder}/python .venv",
        "uv pip install --quiet --require-hashes -r requirements-test.txt",
        "uv pip install --quiet --no-deps -e .",
    ]
    assert (tree / ".venv" / "test.stamp").exists(), "make test installs nothing once more"


@pytest.mark.parametrize("options", ["", "--build-arg TORCH_INDEX=index.of.torch"])
def test_the_image_is_built_of_this_tree_under_the_name_that_the_tests_look_for(
    options: str, stand_ins: StandIns
) -> None:
    stand_ins.add("docker")
    written = step("cluster", "The image of this tree")
    done = written.run(TREE, PATH=stand_ins.path, BUILD_OPTIONS=options)
    assert done.returncode == 0, done.stderr
    built, pruned = stand_ins.asked
    words = built.split()
    assert words[:4] == ["docker", "build", "--file", "images/Containerfile"]
    assert words[words.index("--tag") + 1] == written.environment["UNECHO_TEST_IMAGE"]
    assert words[-1] == "."
    assert options in built
    assert pruned == "docker builder prune --all --force"


@dataclass(frozen=True)
class BroughtUp:
    """What the step that brings up a cluster did."""

    status: int
    given: dict[str, str]
    asked: list[str]


def bring_up(gateways: str, folder: Path, stand_ins: StandIns) -> BroughtUp:
    stand_ins.add("kind", '[ "$1" != create ] || touch "$KUBECONFIG"')
    stand_ins.add("kubectl")
    stand_ins.add("docker", f"printf %s {shlex.quote(gateways)}")
    kept = folder / "given"
    kept.touch()
    written = step("cluster", "A cluster that has the image")
    done = written.run(TREE, PATH=stand_ins.path, GITHUB_ENV=str(kept), RUNNER_TEMP=str(folder))
    given = dict(line.split("=", 1) for line in kept.read_text().splitlines())
    return BroughtUp(done.returncode, given, stand_ins.asked)


@pytest.mark.parametrize("gateways", [GATEWAYS, "172.18.0.1\n\n", "".join(reversed(GATEWAYS.splitlines(True)))])
def test_the_steps_after_the_cluster_know_it_and_the_address_that_pods_reach_this_machine_at(
    gateways: str, tmp_path: Path, stand_ins: StandIns
) -> None:
    done = bring_up(gateways, tmp_path, stand_ins)
    assert done.status == 0
    assert done.given == {"KUBECONFIG": f"{tmp_path}/kubeconfig", "UNECHO_TEST_HOST": "172.18.0.1"}
    assert Path(done.given["KUBECONFIG"]).exists(), "kind wrote it there"
    image = step("cluster", "Tests").environment["UNECHO_TEST_IMAGE"]
    assert done.asked[:2] == ["kind create cluster --wait 3m", f"kind load docker-image {image}"]
    assert done.asked[-1].startswith("docker network inspect kind ")


def test_a_network_without_an_ipv4_gateway_fails_the_step_and_not_the_tests_after_it(
    tmp_path: Path, stand_ins: StandIns
) -> None:
    done = bring_up("fc00:f853:ccd:e793::1\n", tmp_path, stand_ins)
    assert done.status != 0
    assert done.given == {}


def test_the_clusters_tests_are_found_by_their_line_and_run_as_root(stand_ins: StandIns) -> None:
    stand_ins.add("sudo", 'while [[ $1 == --* ]]; do shift; done; exec "$@"')
    written = step("cluster", "Tests")
    done = written.run(TREE, PATH=stand_ins.path, PYTEST_ADDOPTS="--collect-only -p no:cacheprovider")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(stand_ins.asked) == 1
    for file in ("jobs/test_cluster.py", "jobs/test_faults.py", "kubeflow/test_executed.py"):
        assert f"tests/pipelines/{file}" in done.stdout


def test_the_citation_is_valid_and_says_what_the_package_says() -> None:
    path = TREE / "CITATION.cff"
    done = schema_check("vendor.citation-file-format", path)
    assert done.returncode == 0, done.stdout + done.stderr
    cited, project = yaml.safe_load(path.read_text()), tomllib.loads((TREE / "pyproject.toml").read_text())["project"]
    assert (cited["cff-version"], cited["type"]) == ("1.2.0", "software")
    assert (cited["version"], cited["license"]) == (project["version"], project["license"])
    readme = (TREE / "README.md").read_text()
    for reference in cited["references"]:
        (number,) = (each["value"].removeprefix("arXiv:") for each in reference["identifiers"])
        assert f"arxiv.org/abs/{number}" in readme


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"])
def test_what_a_page_for_contributors_names_is_there(name: str) -> None:
    text = (TREE / name).read_text()
    linked = [target for target in re.findall(r"\]\(([^)]+)\)", text) if "://" not in target]
    folders = "|".join(re.escape(path.name) for path in sorted(TREE.iterdir()) if path.is_dir())
    named = re.findall(rf"`((?:{folders})/[\w./*-]*)`", text) + re.findall(r"`([\w-]+\*?\.(?:toml|txt|md))`", text)
    assert linked or named
    for path in (*linked, *named):
        assert list(TREE.glob(path)), f"{name}: {path}"
    targets = re.findall(r"make ([a-z-]+)\b", "\n".join(re.findall(r"`([^`]+)`", text)))
    assert [target for target in targets if not is_made(target)] == []


def test_contributing_names_every_variable_of_the_tests_and_every_method_of_a_family() -> None:
    text = (TREE / "CONTRIBUTING.md").read_text()
    asked = set(re.findall(r"UNECHO_(?:TEST_[A-Z0-9_]+|REQUIRE)", asking())) | {"KUBECONFIG", "DOCKER_HOST"}
    assert {name for name in asked if f"| `{name}` |" not in text} == set()
    tree = ast.parse((TREE / "components" / "diffusion" / "family.py").read_text())
    families = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name.endswith("Family")]
    assert len(families) == 2
    methods = {node.name for family in families for node in family.body if isinstance(node, ast.FunctionDef)}
    assert {name for name in methods if f"`{name}`" not in text} == set()

"""The files that other people's pipelines load."""

import re
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import json_format
from kfp import compiler, dsl
from kfp.components import load_component_from_file
from kfp.pipeline_spec import pipeline_spec_pb2

from tests.pipelines.kubeflow.compiled import compiled, read
from unecho.components.kubeflow_task.entry import Entry
from unecho.components.kubeflow_task.form import FORM
from unecho.components.steps import STEPS
from unecho.pipelines.commands import main
from unecho.pipelines.kubeflow.component import audit_command
from unecho.pipelines.kubeflow.pods import LAYOUTS

NAMES = sorted([*STEPS, "audit", "retrain"])
AUDIT = Path(__file__).parents[3] / "manifests/kubeflow/audit"
KINDS = {"text": "str", "metrics": "system.Metrics", "html": "system.HTML", "markdown": "system.Markdown"}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    folder = tmp_path_factory.mktemp("components")
    assert main(["compile", "--components", str(folder), "--image", "unecho:test"]) == 0
    return {path.parent.name: path for path in folder.glob("*/component.yaml")}


def test_there_is_a_file_of_every_step_and_of_a_whole_audit_and_retraining(files: Mapping[str, Path]) -> None:
    assert sorted(files) == NAMES


def test_the_command_prints_its_files_and_writes_no_pipeline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["compile", "--components", "own", "--image", "unecho:test"]) == 0
    assert sorted(capsys.readouterr().out.splitlines()) == [f"own/{name}/component.yaml" for name in NAMES]
    assert [path.name for path in tmp_path.iterdir()] == ["own"]
    first = {path: path.read_bytes() for path in tmp_path.rglob("*.yaml")}
    assert main(["compile", "--components", "own", "--image", "unecho:test"]) == 0
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.yaml")} == first


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert main(["compile", "--components", str(tmp_path / "file"), "--image", "unecho:test"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"unecho: {tmp_path}/file/plan")


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_a_whole_pipeline_of_one_task_that_is_not_cached(name: str, files: Mapping[str, Path]) -> None:
    spec = json_format.ParseDict(yaml.safe_load(files[name].read_text()), pipeline_spec_pb2.PipelineSpec())
    (task,) = spec.root.dag.tasks.values()
    assert not task.caching_options.enable_cache
    assert set(task.inputs.parameters) == set(spec.root.input_definitions.parameters)
    for parameter in spec.root.input_definitions.parameters.values():
        assert parameter.description


@pytest.mark.parametrize("name", sorted(STEPS))
def test_a_loaded_step_is_that_of_our_own_pipeline(name: str, files: Mapping[str, Path], tmp_path: Path) -> None:
    def pipeline(run: str, round: int, index: int) -> None:
        address = {"run": run, "round": round, "index": index}
        loaded = load_component_from_file(str(files[name]))
        given = {field: address[field] for field in loaded.component_spec.inputs if field in address}
        loaded(**given or {"address_root": run})

    path = tmp_path / "foreign.yaml"
    compiler.Compiler().compile(dsl.pipeline(name="foreign")(pipeline), str(path))
    theirs = json_format.ParseDict(yaml.safe_load(path.read_text()), pipeline_spec_pb2.PipelineSpec())
    ours = compiled(tmp_path).spec
    assert theirs.components[f"comp-{name}"] == ours.components[f"comp-{name}"]
    assert command(theirs, name) == command(ours, name)


def test_only_the_root_must_be_given_for_a_plan(files: Mapping[str, Path]) -> None:
    inputs = load_component_from_file(str(files["plan"])).component_spec.inputs
    assert {name for name, input in inputs.items() if not input.optional} == {"address_root"}
    assert {name: input.default for name, input in inputs.items() if input.optional} == {
        entry.name: entry.default for entry in FORM if entry.default is not None
    } | {"run_id": ""}


def test_the_copy_of_the_audit_is_what_compile_writes_today(tmp_path: Path) -> None:
    words = ["compile", "--image", "unecho:0.1.0", "--components"]
    assert main([*words, str(tmp_path)]) == 0
    assert (tmp_path / "audit/component.yaml").read_text() == (AUDIT / "component.yaml").read_text(), (
        f"unecho {' '.join(words)} DIR, and DIR/audit/component.yaml to manifests/kubeflow/audit"
    )


def test_the_readme_of_the_audit_has_a_row_for_every_input_and_output() -> None:
    audit = audit_command()
    inputs = [
        f"| `{entry.name}` | `{entry.type.__name__}` | {default(entry)} | {entry.help} |" for entry in audit.inputs
    ]
    outputs = [f"| `{output.name}` | `{KINDS[output.kind]}` | {output.help} |" for output in audit.outputs]
    sections = (AUDIT / "README.md").read_text().split("\n## ")
    assert rows(sections, "Inputs") == inputs
    assert rows(sections, "Outputs")[: len(outputs)] == outputs


def test_the_readme_of_the_audit_is_laid_out_as_kubeflows_and_says_what_its_metadata_says() -> None:
    text = (AUDIT / "README.md").read_text()
    titles = re.findall(r"^## (.*)", text, re.MULTILINE)
    assert titles == ["Overview", "Inputs", "Outputs", "Metadata", "Credentials", "Usage Examples"]
    metadata = yaml.safe_load((AUDIT / "metadata.yaml").read_text())
    assert list(metadata) == ["name", "stability", "dependencies", "tags", "lastVerified", "ci"]
    said = re.findall(r"\*\*(.*?)\*\*: (.+)", text.partition("## Metadata")[2])
    assert dict(said) == {
        "Name": metadata["name"],
        "Stability": metadata["stability"],
        "Last Verified": str(metadata["lastVerified"]),
    }
    (kubeflow,) = metadata["dependencies"]["kubeflow"]
    assert f"- Name: {kubeflow['name']}, Version: {kubeflow['version']}\n" in text
    assert re.findall(r"^  - ([a-z-]+)$", text, re.MULTILINE) == metadata["tags"]


def test_the_readmes_pipeline_compiles_and_gives_the_audit_its_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (AUDIT / "README.md").read_text(), re.DOTALL)
    (tmp_path / "retrain.py").write_text(code)
    monkeypatch.chdir(AUDIT.parent)
    monkeypatch.syspath_prepend(tmp_path)
    retrain = import_module("retrain").retrain
    compiler.Compiler().compile(retrain, str(tmp_path / "retrain.yaml"))
    theirs = read(tmp_path / "retrain.yaml")
    tasks = theirs.spec.root.dag.tasks
    assert {name: set(task.dependent_tasks) for name, task in tasks.items()} == {
        "train": set(),
        "audit": {"train"},
        "release": {"audit", "train"},
    }
    assert not tasks["audit"].caching_options.enable_cache
    (secret,) = theirs.kubernetes["exec-audit"]["secretAsEnv"]
    assert secret["secretName"] == "unecho-s3"
    keys = {key["secretKey"]: key["envVar"] for key in secret["keyToEnv"]}
    assert keys.items() <= LAYOUTS["unecho"].items()
    assert theirs.container("audit")["resources"]["accelerator"]["resourceType"] == "nvidia.com/gpu"


def default(entry: Entry) -> str:
    return "must be given" if entry.default is None else f"`{entry.default!r}`"


def rows(sections: list[str], title: str) -> list[str]:
    """Of the first table of a section, less its head."""
    (section,) = (text for text in sections if text.startswith(f"{title}\n"))
    return [line for line in section.splitlines() if line.startswith("| ")][1:]


def command(spec: Any, name: str) -> list[str]:
    executors = json_format.MessageToDict(spec.deployment_spec)["executors"]
    words: list[str] = executors[f"exec-{name}"]["container"]["command"]
    return words

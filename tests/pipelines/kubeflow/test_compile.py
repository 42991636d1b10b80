"""The compiled pipeline: its structure, its form, its pods."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from kfp.pipeline_spec.pipeline_spec_pb2 import ParameterType

from tests.pipelines.kubeflow.compiled import Compiled, compiled, read
from tests.pipelines.kubeflow.pods_counted import Count, pods
from unecho.components.kubeflow_task.audit_form import AUDIT_FORM
from unecho.components.kubeflow_task.form import FORM, config_of
from unecho.components.steps import STEPS
from unecho.pipelines.commands import main
from unecho.pipelines.kubeflow.cautions import (
    of_kubeflows_store,
    of_many_pods,
    of_many_shards,
    pods_of_a_round,
    pods_of_a_run,
)
from unecho.pipelines.kubeflow.pods import Pods

ROOT = Path(__file__).parents[3]
COPY = ROOT / "manifests/kubeflow/unecho.yaml"
STEP_NAMES = sorted(STEPS)
FIELDS = {
    "address_root",
    "address_run_name",
    "data_prepare_parts",
    "data_preset",
    "data_source",
    "method_augment_below",
    "method_local_epochs",
    "method_redistribute_fraction",
    "method_rounds",
    "method_shards",
    "method_skip_ratio",
    "method_variant",
    "model_pretrained",
    "overrides",
    "report_samples",
    "seed",
}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    return compiled(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def audit(tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    return compiled(tmp_path_factory.mktemp("audit"), "--pipeline", "audit")


def test_the_copy_in_the_repository_is_what_compile_writes_today(tmp_path: Path) -> None:
    path = tmp_path / "unecho.yaml"
    assert main(["compile", "--image", "unecho:0.1.0", "--accelerator", "nvidia.com/gpu", "-o", str(path)]) == 0
    assert path.read_text() == COPY.read_text(), (
        "unecho compile --image unecho:0.1.0 --accelerator nvidia.com/gpu -o manifests/kubeflow/unecho.yaml"
    )


def test_the_copy_of_the_audit_is_what_compile_writes_today(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["compile", "--pipeline", "audit", "--image", "unecho:0.1.0", "--accelerator", "nvidia.com/gpu"]
    assert main(words) == 0
    assert capsys.readouterr().out == "unecho-audit.yaml\n"
    copy = COPY.with_name("unecho-audit.yaml")
    assert Path("unecho-audit.yaml").read_text() == copy.read_text(), (
        f"unecho {' '.join(words)} -o manifests/kubeflow/unecho-audit.yaml"
    )


def test_the_copy_of_the_retraining_is_what_compile_writes_today(tmp_path: Path) -> None:
    path = tmp_path / "unecho-retrain.yaml"
    words = ["compile", "--pipeline", "retrain", "--image", "unecho:0.1.0", "--accelerator", "nvidia.com/gpu", "-o"]
    assert main([*words, str(path)]) == 0
    assert path.read_text() == COPY.with_name(path.name).read_text(), (
        f"unecho {' '.join(words)} manifests/kubeflow/unecho-retrain.yaml"
    )


def test_a_retraining_is_one_task_on_the_device_that_is_never_cached_and_has_no_condition(tmp_path: Path) -> None:
    options = ["--accelerator", "nvidia.com/gpu", "--accelerators-per-shard", "2", "--device-memory", "9Gi"]
    found = compiled(tmp_path, "--pipeline", "retrain", *options)
    (task,) = found.spec.root.dag.tasks.values()
    assert not task.caching_options.enable_cache
    assert (task.trigger_policy.condition, task.HasField("parameter_iterator")) == ("", False)
    container = found.container("retrain")
    assert container["command"][:4] == ["unecho", "retrain", "--kubeflow", "{{$}}"]
    accelerator = container["resources"]["accelerator"]
    assert (accelerator["resourceType"], accelerator["resourceCount"]) == ("nvidia.com/gpu", "2")
    assert container["resources"]["resourceMemoryLimit"] == "9Gi"
    about = found.kubernetes["exec-retrain"]
    assert about["secretAsEnv"][0]["secretName"] == "unecho-s3"
    assert about["securityContext"] == {"runAsGroup": "65532", "runAsNonRoot": True, "runAsUser": "65532"}
    form = found.spec.root.input_definitions.parameters
    assert {name for name in form if not form[name].is_optional} == {"address_root", "release_model"}
    assert form["release_policy"].parameter_type == ParameterType.STRUCT
    assert pods(found.spec, {}) == Count(user=1, driver=2)


def test_the_same_arguments_write_the_same_bytes_in_another_process(plain: Compiled, tmp_path: Path) -> None:
    path = tmp_path / "again.yaml"
    words = [sys.executable, "-m", "unecho", "compile", "--image", "unecho:test", "-o", str(path)]
    subprocess.run(words, check=True, cwd=ROOT, env={"PYTHONHASHSEED": "7", "PATH": "", "PYTHONPATH": str(ROOT)})
    assert path.read_text() == plain.text


def test_without_an_image_there_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["compile", "-o", str(tmp_path / "x.yaml")]) == 2
    assert capsys.readouterr().err.startswith("unecho: --image: missing: give the image of the steps")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("step", STEP_NAMES)
def test_every_step_is_the_command_that_a_person_would_type(step: str, plain: Compiled) -> None:
    container = plain.container(step)
    assert container["image"] == "unecho:test"
    words = container["command"]
    assert words[:3] == ["unecho", "step", step]
    if step != "plan":
        assert words[3:5] == ["--run", "{{$.inputs.parameters['run']}}"]
    for option, has in (("round", STEPS[step].by_round), ("index", STEPS[step].by_index)):
        assert (f"--{option}" in words) == has
        if has:
            assert words[words.index(f"--{option}") + 1] == f"{{{{$.inputs.parameters['{option}']}}}}"
    assert words[words.index("--kubeflow") + 1] == "{{$}}"
    assert "args" not in container


def test_rounds_are_in_order_and_begin_decides_on_what_follows(plain: Compiled) -> None:
    components = plain.spec.components
    (loop,) = components["comp-rounds"].dag.tasks.values()
    assert loop.iterator_policy.parallelism_limit == 1
    assert loop.parameter_iterator.items.input_parameter == "pipelinechannel--rounds"
    inside = components[loop.component_ref.name].dag.tasks
    assert set(inside) == {"begin", "condition-42"}
    assert inside["condition-42"].trigger_policy.condition == (
        "inputs.parameter_values['pipelinechannel--begin-Output'] == 'go'"
    )
    round = components[inside["condition-42"].component_ref.name].dag.tasks
    assert {name: sorted(task.dependent_tasks) for name, task in round.items()} == {
        "watch": [],
        "shards": [],
        "aggregate": ["shards", "watch"],
        "redistribute": ["shards", "watch"],
    }


def test_rounds_shards_and_parts_are_lists_that_plan_makes_when_it_runs(plain: Compiled) -> None:
    root = plain.spec.root.dag.tasks
    for nested, name, list in (
        ("rounds", "rounds", "rounds"),
        ("rounds", "shards", "shards"),
        ("parts", "indices", "parts"),
    ):
        made = root[nested].inputs.parameters[name].task_output_parameter
        assert (made.producer_task, made.output_parameter_key) == ("plan", list)
        definition = plain.spec.components["comp-plan"].output_definitions.parameters[list]
        assert definition.parameter_type == ParameterType.LIST
    assert not re.search(r"\braw:", plain.text)


def test_the_order_is_that_of_the_loop(plain: Compiled) -> None:
    root = plain.spec.root.dag.tasks
    before = {name: set(task.dependent_tasks) - {"plan"} for name, task in root.items()}
    assert before == {
        "plan": set(),
        "packs": set(),
        "prepare": {"packs"},
        "encodings": {"prepare"},
        "initialize": {"encodings"},
        "shard": {"encodings"},
        "rounds": {"initialize", "shard"},
        "select": {"rounds"},
        "parts": {"select"},
        "evaluate": {"parts"},
    }


def test_the_audit_is_in_the_order_of_its_loop_and_has_no_rounds_and_no_model(audit: Compiled) -> None:
    before = {name: set(task.dependent_tasks) - {"plan"} for name, task in audit.spec.root.dag.tasks.items()}
    assert before == {
        "plan": set(),
        "packs": set(),
        "prepare": {"packs"},
        "initialize": {"prepare"},
        "parts": {"initialize"},
        "evaluate": {"parts"},
    }
    assert set(audit.spec.components["comp-evaluate"].output_definitions.artifacts) == {"metrics", "report", "summary"}
    assert audit.container("evaluate")["command"].count("--artifact") == 3


def test_the_form_of_the_audit_is_typed_and_says_what_must_be_given(audit: Compiled) -> None:
    shown = audit.spec.root.input_definitions.parameters
    assert set(shown) == {entry.name for entry in AUDIT_FORM}
    assert {name for name, parameter in shown.items() if not parameter.is_optional} == {"address_root", "audit_subject"}
    assert set(audit.spec.components["comp-plan"].input_definitions.parameters) == {*shown, "run_id"}
    lines = audit.spec.pipeline_info.description.splitlines()
    assert lines[1].startswith("address_root and audit_subject must be given.")
    assert [line.partition(":")[0] for line in lines[2:]] == [f"* {name}" for name in sorted(shown)]


def test_no_loop_or_condition_reads_what_the_local_runner_cannot_find(plain: Compiled) -> None:
    """A list: only an input of the loop's own pipeline. A condition: an output called Output too."""
    for component in [plain.spec.root, *plain.spec.components.values()]:
        for task in component.dag.tasks.values():
            if task.WhichOneof("iterator"):
                source = task.inputs.parameters[task.parameter_iterator.items.input_parameter]
                assert source.WhichOneof("kind") == "component_input_parameter"
            if condition := task.trigger_policy.condition:
                (name,) = re.findall(r"parameter_values\['(.*?)'\]", condition)
                assert task.inputs.parameters[name].task_output_parameter.output_parameter_key == "Output"


def test_no_task_is_cached(plain: Compiled) -> None:
    for component in [plain.spec.root, *plain.spec.components.values()]:
        for name, task in component.dag.tasks.items():
            if not name.startswith(("for-loop", "condition")):  # these have no cache of their own
                assert task.HasField("caching_options"), name
            assert not task.caching_options.enable_cache, name


def test_shards_and_parts_run_side_by_side_up_to_the_limit(tmp_path: Path) -> None:
    spec = compiled(tmp_path, "--parallelism", "7").spec
    for name in ("shards", "parts"):
        (loop,) = spec.components[f"comp-{name}"].dag.tasks.values()
        assert loop.iterator_policy.parallelism_limit == 7


def test_the_form_is_typed_described_and_defaulted(plain: Compiled, tmp_path: Path) -> None:
    shown = plain.spec.root.input_definitions.parameters
    types = {str: ParameterType.STRING, int: ParameterType.NUMBER_INTEGER}
    assert set(shown) == {entry.name for entry in FORM} == FIELDS
    for entry in FORM:
        parameter = shown[entry.name]
        assert parameter.description.startswith(entry.help[:20])
        assert parameter.parameter_type == types.get(entry.type, ParameterType.STRUCT)
        assert parameter.is_optional == (entry.name != "address_root")
    assert shown["data_preset"].default_value.string_value == "digits"
    assert shown["method_shards"].default_value.string_value == ""
    rooted = compiled(tmp_path, "--root", "s3://models/unecho").spec.root.input_definitions.parameters["address_root"]
    assert rooted.default_value.string_value == "s3://models/unecho"


def test_pods_with_two_accelerators_are_of_a_form_whose_proxies_train_on_two(tmp_path: Path) -> None:
    several = compiled(tmp_path, "--accelerator", "nvidia.com/gpu", "--accelerators-per-shard", "2")
    overrides = several.spec.root.input_definitions.parameters["overrides"].default_value.struct_value
    assert config_of({"overrides": dict(overrides)}).train.gpus_per_shard == 2


def test_an_audit_that_asks_for_accelerators_of_a_shard_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    line = ["compile", "--image", "unecho:test", "--pipeline", "audit", "--accelerators-per-shard", "2"]
    assert main(line) == 2
    assert capsys.readouterr().err == "unecho: --accelerators-per-shard: 2: an audit trains no shard: leave it out\n"


def test_the_pipelines_description_says_what_the_ui_does_not_show(plain: Compiled) -> None:
    lines = plain.spec.pipeline_info.description.splitlines()
    assert lines[1] == "address_root must be given. A field that is left empty means what the preset says."
    assert [line.partition(":")[0] for line in lines[2:]] == [f"* {name}" for name in sorted(FIELDS)]


def test_a_nameless_run_gets_the_id_of_the_kubeflow_run(plain: Compiled) -> None:
    given = plain.spec.root.dag.tasks["plan"].inputs.parameters["run_id"].runtime_value.constant.string_value
    assert given == "{{$.pipeline_job_uuid}}"  # alone: the backend fills it in only where it is the whole value


def test_the_ui_gets_metrics_a_page_a_summary_a_model_and_a_data_set(plain: Compiled) -> None:
    shown = {
        step: {
            name: artifact.artifact_type.schema_title
            for name, artifact in plain.spec.components[f"comp-{step}"].output_definitions.artifacts.items()
        }
        for step in STEPS
    }
    assert {step: artifacts for step, artifacts in shown.items() if artifacts} == {
        "prepare": {"dataset": "system.Dataset"},
        "watch": {"metrics": "system.Metrics"},
        "aggregate": {"metrics": "system.Metrics"},
        "redistribute": {"metrics": "system.Metrics"},
        "select": {"metrics": "system.Metrics"},
        "evaluate": {
            "metrics": "system.Metrics",
            "report": "system.HTML",
            "summary": "system.Markdown",
            "model": "system.Model",
        },
    }


@pytest.mark.parametrize("shards", [1, 4, 10])
def test_a_round_costs_what_the_page_on_kubeflow_says(shards: int, plain: Compiled) -> None:
    def all(rounds: int, goes: bool = True) -> Count:
        return pods(plain.spec, {"packs": 5, "encodings": 3, "rounds": rounds, "shards": shards, "parts": 2}, goes)

    assert all(2) - all(1) == Count(user=shards + 4, driver=2 * shards + 8)
    assert all(2, goes=False) - all(1, goes=False) == Count(user=1, driver=3)
    # the whole; tasks; packs, encodings, rounds, parts and their loops; iterations
    assert all(0) == Count(user=6 + 5 + 2 + 3, driver=1 + (6 + 5 + 2 + 3) + 4 * 2 + 5 + 2 + 3)
    assert Count(*pods_of_a_round(shards)) == all(2) - all(1)
    assert Count(*pods_of_a_run({"packs": 5, "encodings": 3, "rounds": 2, "shards": shards, "parts": 2})) == all(2)
    page = (ROOT / "docs/kubeflow.md").read_text()
    table = dict(re.findall(r"^\| (a round.*?|once|an audit) \| (.*?) \|$", page, re.MULTILINE))
    assert table == {
        "a round": "K + 4 | 2 K + 8",
        "a round that does not start": "1 | 3",
        "once": "6 + P + E + N | 15 + 2 P + 2 E + 2 N",
        "an audit": "4 + P + N | 9 + 2 P + 2 N",
    }


@pytest.mark.parametrize("parts", [0, 1, 4])
def test_an_audit_costs_what_the_page_on_kubeflow_says(parts: int, audit: Compiled) -> None:
    # the whole; tasks; packs, parts and their loops; iterations
    of_parts = Count(user=4 + 3 + parts, driver=1 + (4 + 3 + parts) + 2 * 2 + 3 + parts)
    assert pods(audit.spec, {"packs": 3, "parts": parts}) == of_parts


def test_the_copy_in_the_repository_is_a_pipeline_with_the_accelerator() -> None:
    assert read(COPY).container("train")["resources"]["accelerator"]["resourceType"] == "nvidia.com/gpu"


def test_more_than_sixteen_shards_are_told_what_they_cost_and_of_the_jobs_engine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    compiled(tmp_path, "--parallelism", "16")
    assert capsys.readouterr().err == ""
    compiled(tmp_path, "--parallelism", "17")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(
        "unecho: warning: a round of 17 shards is 21 pods that run a step and 42 driver pods, and Argo"
    )
    assert line.endswith("use the jobs engine (unecho run --engine jobs)")
    assert of_many_shards(16, 100) == []
    assert ", 1,260 pods in 20 rounds, and Argo" in of_many_shards(17, 20)[0]


def test_long_loops_and_very_many_rounds_are_told_what_they_cost_too() -> None:
    small = {"packs": 16, "encodings": 0, "rounds": 10, "shards": 10, "parts": 4}
    assert of_many_pods(small) == []  # 10 rounds of 14 and 28 pods: 420 in all, and 26 and 55 once
    (line,) = of_many_pods(small | {"packs": 40})
    assert line.startswith("40 x pack is 40 pods that run a step and 80 driver pods, and Argo keeps account")
    (line,) = of_many_pods(small | {"rounds": 25})
    assert line.startswith("the run is 376 pods that run a step and 755 driver pods, and Argo keeps account")
    assert [of_many_pods(small | {"shards": 20})[0]] == of_many_shards(20, 10)


@pytest.mark.parametrize(
    ("root", "namespace", "says"),
    [
        (None, None, "s3://mlpipeline/private/NAMESPACE/ and not the whole bucket: give a root below it in the form"),
        ("s3://mlpipeline/unecho", None, "not the whole bucket: s3://mlpipeline/unecho would be refused"),
        ("s3://mlpipeline/private", None, "not the whole bucket: s3://mlpipeline/private would be refused"),
        ("s3://other/private/team/x", None, "not the whole bucket: s3://other/private/team/x would be refused"),
        ("s3://mlpipeline/private/x", "team", "s3://mlpipeline/private/team/ and not the whole bucket: s3://"),
        ("s3://mlpipeline/private/team/x", "team", None),
        ("s3://mlpipeline/private-artifacts/team/x", None, None),
        ("s3://mlpipeline/shared/x", "team", None),
        ("s3://mlpipeline/artifacts", None, None),
    ],
)
def test_a_root_that_a_namespaces_key_does_not_reach_is_told(
    root: str | None, namespace: str | None, says: str | None
) -> None:
    kubeflows = Pods("unecho:test", layout="mlpipeline-minio-artifact")
    lines = of_kubeflows_store(kubeflows, root, namespace)
    assert len(lines) == (says is not None)
    assert all(line.startswith("where Kubeflow has many users") and str(says) in line for line in lines)
    assert of_kubeflows_store(Pods("unecho:test"), root, namespace) == []


def test_compile_tells_of_kubeflows_own_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    compiled(tmp_path, "--secret-layout", "mlpipeline-minio-artifact", "--root", "s3://mlpipeline/private/team/unecho")
    assert capsys.readouterr().err == ""
    compiled(tmp_path, "--secret-layout", "mlpipeline-minio-artifact")
    assert capsys.readouterr().err.startswith(
        "unecho: warning: where Kubeflow has many users, a namespace's key reaches"
    )

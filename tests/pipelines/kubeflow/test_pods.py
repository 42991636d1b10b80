"""Every setting of a pod, where Kubernetes will read it."""

from pathlib import Path

import pytest

from tests.pipelines.kubeflow.compiled import Compiled, compiled
from tests.runs import tiny
from unecho.components.steps import STEPS
from unecho.pipelines.commands import main
from unecho.pipelines.kubeflow.pods import accelerators_of

STEP_NAMES = sorted(STEPS)
ON_DEVICE = ("encode", "watch", "train", "select", "sample", "evaluate")


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    line = (
        "--pull-policy Always --label kueue.x-k8s.io/queue-name=gpus --label team=x "
        "--cpu 500m:2 --memory 1Gi:3Gi --timeout 3600 "
        "--accelerator amd.com/gpu --accelerators-per-shard 2 --node-selector pool=gpu --node-selector zone=a "
        "--toleration gpu=yes:NoSchedule --toleration spot "
        "--device-cpu 6 --device-memory 24Gi --device-timeout 7200 --shared-memory 4Gi "
        "--secret my-store --endpoint https://s3.example.com"
    )
    return compiled(tmp_path_factory.mktemp("full"), *line.split())


@pytest.mark.parametrize("step", STEP_NAMES)
def test_all_pods(step: str, full: Compiled) -> None:
    pod = full.kubernetes[f"exec-{step}"]
    assert pod["imagePullPolicy"] == "Always"
    assert pod["podMetadata"]["labels"] == {
        "app.kubernetes.io/name": "unecho",
        "kueue.x-k8s.io/queue-name": "gpus",
        "team": "x",
    }
    assert pod["securityContext"] == {"runAsUser": "65532", "runAsGroup": "65532", "runAsNonRoot": True}
    assert pod["activeDeadlineSeconds"] == ("7200" if step in ON_DEVICE else "3600")
    resources = full.container(step)["resources"]
    cpu, memory = (("6", "6"), ("24Gi", "24Gi")) if step in ON_DEVICE else (("500m", "2"), ("1Gi", "3Gi"))
    assert (resources["resourceCpuRequest"], resources["resourceCpuLimit"]) == cpu
    assert (resources["resourceMemoryRequest"], resources["resourceMemoryLimit"]) == memory


@pytest.mark.parametrize("step", STEP_NAMES)
def test_credentials_come_from_a_secret_that_may_be_missing_and_are_nowhere_else(step: str, full: Compiled) -> None:
    (secret,) = full.kubernetes[f"exec-{step}"]["secretAsEnv"]
    assert secret["secretNameParameter"]["runtimeValue"]["constant"] == "my-store"
    assert secret["optional"] is True
    names = [pair["envVar"] for pair in secret["keyToEnv"]]
    assert names == ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION"]
    assert all(pair["envVar"] == pair["secretKey"] for pair in secret["keyToEnv"])
    assert {one["name"]: one["value"] for one in full.container(step)["env"]} == {
        "AWS_ENDPOINT_URL_S3": "https://s3.example.com",
        "UNECHO_S3_SECRET": "my-store",
        "UNECHO_IMAGE": "unecho:test",
    }


@pytest.mark.parametrize("step", STEP_NAMES)
def test_only_pods_that_compute_on_a_device_get_one_and_go_where_it_is(step: str, full: Compiled) -> None:
    pod, resources = full.kubernetes[f"exec-{step}"], full.container(step)["resources"]
    if step not in ON_DEVICE:
        assert not {"nodeSelector", "tolerations", "emptyDirMounts"} & set(pod)
        assert "accelerator" not in resources
        return
    several = "2" if step == "train" else "1"
    accelerator = resources["accelerator"]
    assert (accelerator["resourceType"], accelerator["resourceCount"]) == ("amd.com/gpu", several)
    assert pod["nodeSelector"]["labels"] == {"pool": "gpu", "zone": "a"}
    assert pod["tolerations"] == [
        {"key": "gpu", "operator": "Equal", "value": "yes", "effect": "NoSchedule"},
        {"key": "spot", "operator": "Exists"},
    ]
    assert pod["emptyDirMounts"] == [
        {"volumeName": "shared-memory", "mountPath": "/dev/shm", "medium": "Memory", "sizeLimit": "4Gi"}
    ]


def test_an_accelerator_alone_brings_its_taint_and_shared_memory(tmp_path: Path) -> None:
    pod = compiled(tmp_path, "--accelerator", "nvidia.com/gpu").kubernetes["exec-train"]
    assert pod["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    assert pod["emptyDirMounts"][0]["sizeLimit"] == "2Gi"


def test_nothing_asks_for_a_device_unless_told(tmp_path: Path) -> None:
    plain = compiled(tmp_path)
    assert "accelerator" not in plain.text
    assert "activeDeadlineSeconds" not in plain.text
    assert "emptyDirMounts" not in plain.text


def test_kubeflows_own_secret_and_store(tmp_path: Path) -> None:
    kubeflow = compiled(tmp_path, "--secret-layout", "mlpipeline-minio-artifact")
    (secret,) = kubeflow.kubernetes["exec-train"]["secretAsEnv"]
    assert secret["secretName"] == "mlpipeline-minio-artifact"
    assert secret["keyToEnv"] == [
        {"secretKey": "accesskey", "envVar": "AWS_ACCESS_KEY_ID"},
        {"secretKey": "secretkey", "envVar": "AWS_SECRET_ACCESS_KEY"},
    ]
    environment = {one["name"]: one["value"] for one in kubeflow.container("train")["env"]}
    assert environment["AWS_ENDPOINT_URL_S3"] == "http://seaweedfs.kubeflow:9000"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("--cpu much", "'much' is not cores"),
        ("--memory 8", "'8' is not a size such as 8Gi"),
        ("--toleration gpu:Never", "'gpu:Never' is not KEY[=VALUE][:EFFECT]"),
        ("--node-selector pool", "'pool' is not KEY=VALUE"),
        ("--parallelism 0", "'0' is not a number of 1 or more"),
        ("--timeout soon", "'soon' is not a number of seconds"),
    ],
)
def test_a_wrong_setting_is_named(options: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["compile", "--image", "unecho:test", *options.split()])
    assert ended.value.code == 2
    assert says in capsys.readouterr().err


def test_an_image_that_is_none_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compile", "--image", "a b"]) == 2
    assert capsys.readouterr().err.startswith("unecho: --image: 'a b' is no name of an image")


def test_every_pod_has_the_variables_that_are_given(tmp_path: Path) -> None:
    given = compiled(
        tmp_path, "--env", "MLFLOW_TRACKING_URI=http://mlflow.ml:5000/a?b=c", "--env", "MLFLOW_EXPERIMENT_NAME="
    )
    for step in STEP_NAMES:
        environment = {one["name"]: one.get("value", "") for one in given.container(step)["env"]}
        assert environment["MLFLOW_TRACKING_URI"] == "http://mlflow.ml:5000/a?b=c"
        assert environment["MLFLOW_EXPERIMENT_NAME"] == ""
        assert environment["UNECHO_IMAGE"] == "unecho:test"


@pytest.mark.parametrize(
    ("variable", "says"),
    [
        ("MLFLOW_TRACKING_URI=http://me:hunter2@mlflow:5000", "MLFLOW_TRACKING_URI: it holds a secret"),
        ("MLFLOW_TRACKING_PASSWORD=hunter2", "MLFLOW_TRACKING_PASSWORD: it holds a secret"),
        ("A-B=c", "'A-B' is no name of a variable"),
        ("A", "'A' is not KEY=VALUE"),
    ],
)
def test_a_secret_is_not_written_into_the_pipeline(
    variable: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "unecho.yaml"
    with pytest.raises(SystemExit, match="2"):
        main(["compile", "--image", "unecho:test", "-o", str(path), "--env", variable])
    said = capsys.readouterr().err
    assert says in said
    assert "hunter2" not in said
    assert not path.exists()


def test_a_pod_that_trains_has_the_accelerators_of_its_run_and_one_of_all_steps_may_have_more() -> None:
    config = tiny("train.gpus_per_shard=2")
    assert accelerators_of(None, config) == accelerators_of(2, config) == 2
    assert accelerators_of(8, config, exactly=False) == 8

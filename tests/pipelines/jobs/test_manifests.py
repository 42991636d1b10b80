"""The manifests: accepted as they are, and changed by one edit each."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.runs import tiny
from tests.services.kubernetes import REPOSITORY, Namespace

OVERLAYS = (
    "base",
    "pods",
    "overlays/gpu",
    "overlays/cpu",
    "overlays/kueue",
    "overlays/store",
    "overlays/text-to-image",
    "overlays/audit",
    "overlays/retrain",
    "overlays/retrain-pod",
)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_api_server_takes_every_overlay_and_pod_security_restricted_has_nothing_to_say(
    overlay: str, namespace: Namespace
) -> None:
    folder = namespace.folder / "checked"
    folder.mkdir()
    resources = [os.path.relpath(REPOSITORY / "manifests" / overlay, folder)]
    (folder / "kustomization.yaml").write_text(yaml.dump({"namespace": namespace.name, "resources": resources}))
    said = namespace.kubectl("apply", "--dry-run=server", "-k", str(folder))
    assert "(server dry run)" in said
    assert "PodSecurity" not in said


def objects(namespace: Namespace, edit: dict[str, Any], files: dict[str, str] | None = None) -> list[dict[str, Any]]:
    """What `kubectl kustomize` makes of the GPU overlay and one edit."""
    folder = namespace.folder / "edited"
    folder.mkdir()
    resources = [os.path.relpath(REPOSITORY / "manifests/overlays/gpu", folder)]
    text = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": resources} | edit
    (folder / "kustomization.yaml").write_text(yaml.dump(text))
    for name, content in (files or {}).items():
        (folder / name).write_text(content)
    return list(yaml.safe_load_all(namespace.kubectl("kustomize", str(folder))))


def kinds(found: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [each for each in found if each["kind"] == kind]


def test_the_image_is_one_edit(namespace: Namespace) -> None:
    edit = {"images": [{"name": "unecho", "newName": "registry.example.com/ml/unecho", "newTag": "7"}]}
    found = objects(namespace, edit)
    specs = [each["template"]["spec"] for each in kinds(found, "PodTemplate")]
    specs += [each["spec"]["template"]["spec"] for each in kinds(found, "Job")]
    assert [spec["containers"][0]["image"] for spec in specs] == ["registry.example.com/ml/unecho:7"] * 3


def test_the_pull_secret_is_one_edit(namespace: Namespace) -> None:
    patch = '[{"op": "add", "path": "/imagePullSecrets", "value": [{"name": "registry"}]}]'
    found = objects(namespace, {"patches": [{"target": {"kind": "ServiceAccount"}, "patch": patch}]})
    assert [each["imagePullSecrets"] for each in kinds(found, "ServiceAccount")] == [[{"name": "registry"}]] * 2


def test_the_namespace_is_one_edit(namespace: Namespace) -> None:
    found = objects(namespace, {"namespace": "elsewhere"})
    assert {each["metadata"]["namespace"] for each in found} == {"elsewhere"}
    assert kinds(found, "RoleBinding")[0]["subjects"][0]["namespace"] == "elsewhere"


@pytest.mark.parametrize(("key", "value"), [("root", "s3://mine/here"), ("preset", "images"), ("name", "x")])
def test_bucket_preset_and_name_are_one_edit(key: str, value: str, namespace: Namespace) -> None:
    edit = {"configMapGenerator": [{"name": "unecho", "behavior": "merge", "literals": [f"{key}={value}"]}]}
    found = kinds(objects(namespace, edit), "ConfigMap")[0]["data"]
    assert found[key] == value
    assert {"root", "name", "preset", "variant", "run.yaml"} == set(found)


def test_the_number_of_shards_is_one_edit(namespace: Namespace) -> None:
    edit = {"configMapGenerator": [{"name": "unecho", "behavior": "merge", "files": ["run.yaml"]}]}
    found = objects(namespace, edit, {"run.yaml": "iet: {shards: 8}\n"})
    assert kinds(found, "ConfigMap")[0]["data"]["run.yaml"] == "iet: {shards: 8}\n"


def test_what_the_coordinator_may_do_is_what_it_does_and_steps_may_nothing(namespace: Namespace) -> None:
    folder = namespace.overlay(tiny(), "s3://a/b", "a")
    namespace.kubectl("apply", "-k", str(folder))
    coordinator = f"--as=system:serviceaccount:{namespace.name}:unecho-coordinator"
    step = f"--as=system:serviceaccount:{namespace.name}:unecho-step"
    allowed = ["create jobs", "delete jobs", "get podtemplates/unecho-step", "list pods", "create events"]
    refused = ["get secrets", "create pods", "delete pods", "get podtemplates/other", "delete configmaps", "get nodes"]
    for request in allowed + refused:
        said = namespace.kubectl("auth", "can-i", *request.split(), coordinator, check=False)
        assert ("yes" in said.split()) == (request in allowed), request
    for request in ("list pods", "get configmaps", "create jobs"):
        assert "no" in namespace.kubectl("auth", "can-i", *request.split(), step, check=False).split(), request


def test_pods_have_a_read_only_root_no_token_and_every_limit(namespace: Namespace) -> None:
    found = objects(namespace, {})
    for template in kinds(found, "PodTemplate"):
        spec = template["template"]["spec"]
        container = spec["containers"][0]
        assert spec["automountServiceAccountToken"] is False
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert {"cpu", "memory"} <= set(container["resources"]["limits"])
        assert {"cpu", "memory"} <= set(container["resources"]["requests"])
    gpu = next(t for t in kinds(found, "PodTemplate") if t["metadata"]["name"] == "unecho-gpu-step")
    container = gpu["template"]["spec"]["containers"][0]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert {"name": "shared-memory", "mountPath": "/dev/shm"} in container["volumeMounts"]
    assert json.dumps(gpu["template"]["spec"]["tolerations"]).count("nvidia.com/gpu") == 1


def test_the_manifests_name_no_file_that_is_not_there() -> None:
    for path in Path(REPOSITORY, "manifests").rglob("kustomization.yaml"):
        listed = yaml.safe_load(path.read_text())
        for name in listed.get("resources", []):
            assert (path.parent / name).exists(), f"{path}: {name}"

"""Retraining by the clock: the CronJob's manifests, and a night in a cluster."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from kubernetes import client

from tests.given import write_digits
from tests.runs import tiny
from tests.services.kubernetes import REPOSITORY, Namespace
from tests.services.required import demand
from unecho.components.run import Run
from unecho.components.run.released import ReleasedModel
from unecho.components.store import open_store
from unecho.pipelines.commands import main
from unecho.pipelines.commands.retrain import parser
from unecho.pipelines.gate.policy import read_policy
from unecho.pipelines.jobs.coordinator import coordinators
from unecho.pipelines.jobs.job_spec import owner_name

MANIFESTS = REPOSITORY / "manifests"
Objects = list[dict[str, Any]]


def read(name: str) -> Objects:
    """A file of the kustomization, as it stands."""
    return list(yaml.safe_load_all((MANIFESTS / "retrain" / name).read_text()))


def built(folder: Path) -> Objects:
    """What kustomize makes of a folder."""
    if not shutil.which("kubectl"):
        demand("kubernetes", "needs kubectl on the path, which has kustomize; no cluster")
    done = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def one(objects: Objects, kind: str, name: str) -> dict[str, Any]:
    (found,) = (each for each in objects if (each["kind"], each["metadata"]["name"]) == (kind, name))
    return found


def pod_of(cron_job: Mapping[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = cron_job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    return spec


def words(container: Mapping[str, Any], data: Mapping[str, str]) -> list[str]:
    """The arguments, with what a ConfigMap says in the place of $(VARIABLES)."""
    of = {
        variable["name"]: data[variable["valueFrom"]["configMapKeyRef"]["key"]]
        for variable in container["env"]
        if "configMapKeyRef" in variable.get("valueFrom", {})
    }
    return [re.sub(r"\$\((\w+)\)", lambda found: of[found[1]], word) for word in container["args"]]


def test_two_nights_never_run_at_once_and_a_gate_that_failed_is_not_asked_again_the_same_night() -> None:
    (cron_job,) = read("cronjob.yaml")
    spec, job = cron_job["spec"], cron_job["spec"]["jobTemplate"]["spec"]
    assert (spec["concurrencyPolicy"], spec["timeZone"]) == ("Forbid", "Etc/UTC")
    assert [rule["action"] for rule in job["podFailurePolicy"]["rules"]] == ["FailJob", "Ignore", "Ignore"]
    assert job["podFailurePolicy"]["rules"][0]["onExitCodes"]["values"] == [1, 2]
    assert pod_of(cron_job)["restartPolicy"] == "Never", "else there is no policy on failures"


def test_the_pod_is_as_restricted_as_the_coordinator_of_a_run() -> None:
    (cron_job,) = read("cronjob.yaml")
    coordinator = yaml.safe_load((MANIFESTS / "base/coordinator.yaml").read_text())["spec"]["template"]["spec"]
    pod = pod_of(cron_job)
    assert pod["securityContext"] == coordinator["securityContext"]
    assert pod["containers"][0]["securityContext"] == coordinator["containers"][0]["securityContext"]
    assert pod["containers"][0]["image"] == coordinator["containers"][0]["image"]


def test_it_may_do_what_a_coordinator_may_do_less_what_only_unecho_status_needs() -> None:
    def allowed(rules: Objects) -> set[tuple[str, str, str, tuple[str, ...]]]:
        return {
            (group, resource, verb, tuple(rule.get("resourceNames", ())))
            for rule in rules
            for group in rule["apiGroups"]
            for resource in rule["resources"]
            for verb in rule["verbs"]
        }

    mine = allowed(one(read("rbac.yaml"), "Role", "unecho-retrain")["rules"])
    base = list(yaml.safe_load_all((MANIFESTS / "base/rbac.yaml").read_text()))
    theirs = allowed(one(base, "Role", "unecho-coordinator")["rules"])
    assert theirs - mine == {("batch", "jobs", "list", ()), ("", "pods/log", "get", ())}
    assert mine < theirs


def test_its_policy_is_the_documented_one_and_can_be_read() -> None:
    path = MANIFESTS / "overlays/retrain/gate.yaml"
    assert path.read_text() == (REPOSITORY / "docs/gate.yaml").read_text()
    assert read_policy(path).policy.verdict == "no_echo"


def test_over_the_overlay_of_a_run_the_cron_job_takes_the_place_of_its_job_and_rights() -> None:
    found = built(MANIFESTS / "overlays/retrain")
    assert sorted((each["kind"], each["metadata"]["name"]) for each in found) == [
        ("ConfigMap", "unecho"),
        ("CronJob", "unecho-retrain"),
        ("PodTemplate", "unecho-gpu-step"),
        ("PodTemplate", "unecho-step"),
        ("Role", "unecho-retrain"),
        ("RoleBinding", "unecho-retrain"),
        ("ServiceAccount", "unecho-retrain"),
        ("ServiceAccount", "unecho-step"),
    ]
    assert {each["metadata"]["namespace"] for each in found} == {"unecho"}
    gpu = one(found, "PodTemplate", "unecho-gpu-step")["template"]["spec"]["containers"][0]
    assert gpu["resources"]["limits"]["nvidia.com/gpu"] == 1
    (subject,) = one(found, "RoleBinding", "unecho-retrain")["subjects"]
    assert (subject["name"], subject["namespace"]) == ("unecho-retrain", "unecho")


@pytest.mark.parametrize(("overlay", "engine"), [("retrain", "jobs"), ("retrain-pod", "local")])
def test_what_the_pod_is_told_is_what_the_program_takes(overlay: str, engine: str) -> None:
    found = built(MANIFESTS / "overlays" / overlay)
    container = pod_of(one(found, "CronJob", "unecho-retrain"))["containers"][0]
    command, *options = words(container, one(found, "ConfigMap", "unecho")["data"])
    arguments = parser().parse_args(options)
    assert (command, arguments.engine, arguments.model) == ("retrain", engine, "digits")
    assert (arguments.root, arguments.preset, arguments.if_changed) == ("s3://unecho/unecho", "digits", True)
    mounted = next(each["mountPath"] for each in container["volumeMounts"] if each["name"] == "config")
    volumes = {volume["name"]: volume for volume in pod_of(one(found, "CronJob", "unecho-retrain"))["volumes"]}
    files = [Path(mounted, item["path"]) for item in volumes["config"]["configMap"]["items"]]
    assert {arguments.policy, arguments.config} == set(files)
    assert {path.name for path in files} <= set(one(found, "ConfigMap", "unecho")["data"])


def test_in_one_pod_it_has_a_gpu_and_neither_rights_nor_a_token() -> None:
    found = built(MANIFESTS / "overlays/retrain-pod")
    assert sorted(each["kind"] for each in found) == ["ConfigMap", "CronJob", "ServiceAccount"]
    pod = pod_of(one(found, "CronJob", "unecho-retrain"))
    assert pod["automountServiceAccountToken"] is False
    assert pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert pod["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is True
    assert {mount["name"]: mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]} == {
        "config": "/etc/unecho",
        "tmp": "/tmp",
        "shared-memory": "/dev/shm",
    }


@pytest.mark.parametrize("overlay", ["cpu", "kueue", "text-to-image"])
def test_any_overlay_of_a_run_can_be_retrained_by_the_clock_by_one_line(overlay: str, tmp_path: Path) -> None:
    # kustomize takes a relative path only, and the temporary directory may be a link
    above = os.path.relpath(MANIFESTS, tmp_path.resolve())
    text = {"resources": [f"{above}/overlays/{overlay}"], "components": [f"{above}/retrain"], "namespace": "ml"}
    (tmp_path / "kustomization.yaml").write_text(yaml.dump(text))
    found = built(tmp_path.resolve())
    assert {each["metadata"]["namespace"] for each in found} == {"ml"}
    assert [each["metadata"]["name"] for each in found if each["kind"] in ("Job", "CronJob")] == ["unecho-retrain"]


def test_the_kustomization_of_the_page_is_one_that_can_be_built(tmp_path: Path) -> None:
    page = (REPOSITORY / "docs/ci.md").read_text()
    (text,) = (block for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if "components:" in block)
    text = text.replace("../unecho", os.path.relpath(REPOSITORY, tmp_path.resolve()))
    files = {"kustomization.yaml": text, "run.yaml": "iet: {rounds: 3}\n", "gate.yaml": "verdict: no_echo\n"}
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    found = built(tmp_path.resolve())
    cron_job = one(found, "CronJob", "unecho-retrain")
    assert (cron_job["metadata"]["namespace"], cron_job["spec"]["schedule"]) == ("ml", "0 */6 * * *")
    data = one(found, "ConfigMap", "unecho")["data"]
    assert (data["model"], data["preset"], data["root"]) == ("dogs", "text-to-image", "s3://models/unecho")
    assert (data["run.yaml"], data["gate.yaml"]) == (files["run.yaml"], files["gate.yaml"])


def test_status_takes_a_night_for_the_coordinator_of_the_run_that_it_owns_and_of_no_other(tmp_path: Path) -> None:
    (cron_job,) = read("cronjob.yaml")
    job = {"metadata": {"name": "night-1", "uid": "1234"}, "spec": cron_job["spec"]["jobTemplate"]["spec"]}
    night = client.ApiClient().deserialize(SimpleNamespace(data=json.dumps(job)), "V1Job")
    mine, other = Run.at(str(tmp_path), "dogs-1234abcd"), Run.at(str(tmp_path), "digits-iet-agc-plus-0")
    owner = SimpleNamespace(metadata=SimpleNamespace(owner_references=[night.metadata]), data={"run": mine.url})
    settings = SimpleNamespace(
        data={"root": str(tmp_path), "model": "dogs", "preset": "digits", "variant": "", "name": ""}
    )
    maps = {owner_name(mine.name): owner, "unecho": settings}
    cluster: Any = SimpleNamespace(jobs=lambda selector: [night], config_map=maps.get)
    assert coordinators(cluster, mine) == [night]
    assert coordinators(cluster, other) == []


def night(namespace: Namespace, name: str) -> tuple[bool, str]:
    """Start the CronJob's Job now; whether it is complete, and its log."""
    namespace.kubectl("create", "job", name, "--from=cronjob/unecho-retrain")
    return namespace.ended(name)


def test_unchanged_data_end_a_night_at_once_and_new_images_are_trained_on_gated_and_promoted(
    namespace: Namespace, root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket, _, prefix = root.removeprefix("s3://").partition("/")

    def put(*rows: int) -> None:
        for path in sorted(write_digits(tmp_path / f"digits-{rows[0]}", rows).iterdir()):
            namespace.s3.client().fput_object(bucket, f"{prefix}/images/{rows[0]}-{path.name}", str(path))

    put(*range(96))
    config = tiny(f"data.source={root}/images", "iet.rounds=1")
    policy = "smoke: allow\nverdict: not_echo\n"
    folder = namespace.overlay(
        config, root, "", base="overlays/retrain", literals=["model=dogs"], files={"gate.yaml": policy}
    )
    # the first model is trained here, which is the quickest: the same command, with the same settings
    monkeypatch.chdir(folder)
    settings = ["--preset", config.preset, "--variant", config.variant, "--config", "run.yaml"]
    here = ["retrain", "--model", "dogs", "--policy", "gate.yaml", "--root", root, "--if-changed", *settings]
    assert main([*here, "--by", "me", "--out", str(tmp_path / "out")]) == 0
    model = ReleasedModel(open_store(root), "dogs")
    first = model.current()
    assert first is not None

    assert "PodSecurity" not in namespace.kubectl("apply", "-k", str(folder))
    account = f"--as=system:serviceaccount:{namespace.name}:unecho-retrain"
    for request in ("get secrets", "create pods", "list jobs", "get pods/log", "create cronjobs", "patch cronjobs"):
        assert "no" in namespace.kubectl("auth", "can-i", *request.split(), account, check=False).split(), request

    complete, log = night(namespace, "night-1")
    assert complete, log
    assert '"outcome": "unchanged"' in log
    assert model.current() == first
    assert namespace.pods(step="train") == [], "nothing has run"

    put(*range(96, 112))
    complete, log = night(namespace, "night-2")
    assert complete, log
    assert '"outcome": "promoted"' in log
    second = model.current()
    assert second is not None
    assert (second.number, second.by, second.replaces) == (2, "CronJob unecho-retrain", 1)
    assert second.dataset != first.dataset
    assert second.gate is not None
    assert Run.at(root, second.run).plan().config.data.source == f"{root}/images"
    assert namespace.pods(step="train") != []
    (owned,) = namespace.get("configmaps", "--selector=unecho/run")
    assert [owner["name"] for owner in owned["metadata"]["ownerReferences"]] == ["night-2"], "it goes with its night"


def test_a_night_whose_gate_is_not_passed_has_failed_and_changes_nothing(namespace: Namespace, root: str) -> None:
    """In one pod, which has no GPU here."""
    files = {"gate.yaml": "smoke: allow\nverdict: not_echo\nquality: {frechet_pixels: {at_most: 0.000001}}\n"}
    small = {"requests": {"cpu": "50m", "memory": "200Mi"}, "limits": {"cpu": "2", "memory": "3Gi"}}
    place = "/spec/jobTemplate/spec/template/spec/containers/0/resources"
    patch = {
        "target": {"kind": "CronJob", "name": "unecho-retrain"},
        "patch": yaml.dump([{"op": "replace", "path": place, "value": small}]),
    }
    config = tiny("iet.rounds=1")
    folder = namespace.overlay(config, root, "", base="overlays/retrain-pod", patches=[patch], files=files)
    assert "PodSecurity" not in namespace.kubectl("apply", "-k", str(folder))
    complete, log = night(namespace, "night-1")
    assert not complete
    assert '"outcome": "failed"' in log
    assert ReleasedModel(open_store(root), "digits").current() is None
    assert len(namespace.get("pods", "--selector=batch.kubernetes.io/job-name=night-1")) == 1, "asked once"

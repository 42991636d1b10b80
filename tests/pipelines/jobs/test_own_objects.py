"""What the jobs engine touches in a namespace: its own, and nothing else. On a real API server, with pods that idle."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from rich.console import Console

from tests.runs import tiny
from tests.services.kubernetes import Namespace, until
from tests.services.required import demand
from tests.services.s3 import S3
from unecho.components.failure import Fatal
from unecho.components.plan.step import plan
from unecho.components.run import Run
from unecho.pipelines.display import Display
from unecho.pipelines.jobs import engine as engines
from unecho.pipelines.jobs.cluster import Cluster, connect
from unecho.pipelines.jobs.engine import Jobs
from unecho.pipelines.jobs.job_spec import StepJob
from unecho.pipelines.jobs.owner import owner
from unecho.pipelines.jobs.pod_status import cluster_status

IDLE = "registry.k8s.io/pause:3.10"
"""No pod of these tests has to run, so that no node needs it."""
APP, ADDRESS = "app.kubernetes.io/name", "unecho/address"


@pytest.fixture
def space(tmp_path: Path) -> Iterator[Namespace]:
    """A namespace with the templates of pods."""
    if not os.environ.get("KUBECONFIG") or not shutil.which("kubectl"):
        demand("kubernetes", "needs a cluster: set KUBECONFIG (kubectl on the path)")
    made = Namespace(tmp_path, S3("http://store.invalid", "key", "secret"), IDLE).make()
    try:
        made.kubectl("apply", "-k", str(made.overlay(tiny(), "", "a", base="pods")))
        yield made
    finally:
        made.remove()


@pytest.fixture
def run(tmp_path: Path) -> Run:
    made = Run.at(str(tmp_path / "root"), "a")
    plan(made, tiny())
    return made


def asked(space: Namespace) -> Cluster:
    """The namespace, as a coordinator in it sees it: one that reaches a directory."""
    cluster = connect(namespace=space.name)
    cluster.inside = True
    return cluster


def engine(space: Namespace, run: Run, display: Display) -> Jobs:
    return Jobs(run, run.config(), display, asked(space))


def made(space: Namespace, kind: str, name: str, metadata: dict[str, object], **more: object) -> str:
    """An object of somebody; returns its uid."""
    version = "batch/v1" if kind == "Job" else "v1"
    body = {"apiVersion": version, "kind": kind, "metadata": {"name": name} | metadata, **more}
    space.kubectl("apply", "-f", "-", input=json.dumps(body))
    return uid(space, kind, name)


def uid(space: Namespace, kind: str, name: str) -> str:
    return space.kubectl("get", kind, name, "--output=jsonpath={.metadata.uid}", check=False)


def idle(*, suspend: bool) -> dict[str, object]:
    security = {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}}
    container = {
        "name": "x",
        "image": IDLE,
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    pod = {"restartPolicy": "Never", "securityContext": security, "containers": [container]}
    return {"suspend": suspend, "backoffLimit": 0, "template": {"spec": pod}}


FOREIGN: dict[str, dict[str, object]] = {
    "nothing of ours": {},
    "our label alone": {"labels": {APP: "unecho", "unecho/run": "a"}},
    "our address alone": {"annotations": {ADDRESS: "{run}"}},
    "a run of that name at another root": {
        "labels": {APP: "unecho", "unecho/run": "a"},
        "annotations": {ADDRESS: "s3://elsewhere/runs/a"},
    },
}


@pytest.mark.parametrize("suspend", [True, False], ids=["suspended", "running"])
@pytest.mark.parametrize("kind", FOREIGN)
def test_a_job_of_the_wanted_name_that_is_not_ours_is_left_alone_and_told(
    kind: str, suspend: bool, space: Namespace, run: Run
) -> None:
    metadata = json.loads(json.dumps(FOREIGN[kind]).replace("{run}", run.url))
    before = made(space, "Job", "unecho-a-prepare", metadata, spec=idle(suspend=suspend))
    with Display(Console()) as display, pytest.raises(Fatal) as caught:
        engine(space, run, display).step("prepare")
    assert str(caught.value).startswith("job unecho-a-prepare: is there and not of this run: ")
    assert uid(space, "Job", "unecho-a-prepare") == before
    assert not cluster_status(asked(space), run).pods
    assert not cluster_status(asked(space), run).problems


def test_a_job_of_ours_is_gone_on_with_and_one_with_other_settings_is_made_anew(space: Namespace, run: Run) -> None:
    with Display(Console()) as display:
        jobs = engine(space, run, display)
        first = engines._RunningJob(jobs, StepJob("prepare", None, 1), [0], display)
        assert not first.done()
        before = uid(space, "Job", "unecho-a-prepare")
        second = engines._RunningJob(engine(space, run, display), StepJob("prepare", None, 1), [0], display)
        assert not second.done()
        assert uid(space, "Job", "unecho-a-prepare") == before
        space.kubectl("annotate", "job", "unecho-a-prepare", "unecho/spec=other", "--overwrite")
        third = engines._RunningJob(engine(space, run, display), StepJob("prepare", None, 1), [0], display)
        until(lambda: (third.done(), uid(space, "Job", "unecho-a-prepare") not in ("", before))[1], "a new Job")


@pytest.mark.parametrize("labels", [{}, {"labels": {APP: "other"}}])
def test_a_configmap_of_the_wanted_name_that_is_not_ours_is_left_alone_and_told(
    labels: dict[str, object], space: Namespace, run: Run
) -> None:
    before = made(space, "ConfigMap", "unecho-run-a", labels, data={"run": run.url})
    with pytest.raises(Fatal, match=r"^configmap unecho-run-a: is there and not of this run: it has no label"):
        owner(asked(space), run)
    assert uid(space, "ConfigMap", "unecho-run-a") == before


def test_a_quota_of_jobs_is_waited_for_and_told_as_a_quota(
    space: Namespace, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "_PATIENT_S", 0.0)
    space.kubectl("create", "quota", "few", "--hard=count/jobs.batch=0")
    until(lambda: "count/jobs.batch" in space.kubectl("get", "quota", "few", "-o=jsonpath={.status.used}"), "the quota")
    notes: list[str] = []
    with Display(Console()) as display:
        jobs = engine(space, run, display)
        monkeypatch.setattr(display, "note", notes.append)
        running = engines._RunningJob(jobs, StepJob("prepare", None, 1), [0], display)
        until(lambda: (running.done(), notes)[1], "it is told")
        assert notes[0].startswith('waits: job unecho-a-prepare: jobs.batch "unecho-a-prepare" is forbidden: ')
        assert "exceeded quota: few, requested: count/jobs.batch=1" in notes[0]
        assert "rbac" not in notes[0]
        space.kubectl("delete", "quota", "few")
        until(lambda: (running.done(), uid(space, "Job", "unecho-a-prepare"))[1], "the Job, once there is room")


def test_a_quota_of_configmaps_is_told_as_a_quota_and_a_right_that_is_missing_as_a_right(
    space: Namespace, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    space.kubectl("create", "quota", "few", "--hard=count/configmaps=0")
    until(lambda: "count/configmaps" in space.kubectl("get", "quota", "few", "-o=jsonpath={.status.used}"), "the quota")
    with pytest.raises(Fatal, match=r"^configmap unecho-run-a: .*exceeded quota: few.*: raise the quota of namespace"):
        owner(asked(space), run)
    monkeypatch.setattr("unecho.pipelines.jobs.cluster._REFUSED_S", 0.0)
    cluster = asked(space)
    cluster._api.set_default_header("Impersonate-User", f"system:serviceaccount:{space.name}:unecho-step")
    with pytest.raises(Fatal, match=r"refused: configmaps .* is forbidden: .*: manifests/base/rbac.yaml"):
        owner(cluster, run)


def test_a_namespace_that_is_not_there_ends_the_run(space: Namespace, run: Run) -> None:
    gone = f"unecho-{uuid4().hex[:8]}"
    cluster = connect(namespace=gone)
    cluster.inside = True
    for seen in (None, "a-uid"):
        with pytest.raises(Fatal, match=rf"^namespace {gone}: not there, or not any more \(create configmap"):
            owner(cluster, run, seen=seen)


def test_a_namespace_that_is_being_deleted_ends_the_run(space: Namespace, run: Run) -> None:
    made(space, "ConfigMap", "held", {"finalizers": ["unecho.test/held"]})
    space.kubectl("delete", "namespace", space.name, "--wait=false")
    try:
        with pytest.raises(Fatal, match=rf"^namespace {space.name}: is being deleted \(create configmap unecho-run-a"):
            owner(asked(space), run)
    finally:
        space.kubectl("patch", "configmap", "held", "--type=merge", '--patch={"metadata":{"finalizers":null}}')


def shown(space: Namespace, run: Run) -> list[str]:
    """What is shown of coordinators: steps of pods, and Jobs that have none."""
    status = cluster_status(asked(space), run)
    return [pod.step for pod in status.pods] + status.problems


@pytest.mark.parametrize("name", ["a", ""], ids=["named", "by its preset, variant and seed"])
def test_status_shows_the_coordinator_of_its_own_run_only(
    name: str, space: Namespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny("seed=5")
    folder = space.overlay(config, str(tmp_path / "root"), name, base="overlays/cpu")
    rendered = space.kubectl("kustomize", str(folder)).replace(
        "  backoffLimit: 6\n", "  backoffLimit: 6\n  suspend: true\n"
    )
    space.kubectl("apply", "-f", "-", input=rendered)
    mine = Run.at(str(tmp_path / "root"), name or "tiny-iet-agc-plus-5")
    others = [Run.at(str(tmp_path / "root"), "b"), Run.at(str(tmp_path / "other"), mine.name)]
    assert shown(space, mine) == ["job unecho: suspended"]
    assert [shown(space, other) for other in others] == [[], []]
    # it owns what it has made, whatever its ConfigMap says by then
    space.kubectl("patch", "configmap", "unecho", "--type=merge", '--patch={"data":{"name":"b"}}')
    monkeypatch.setenv("UNECHO_COORDINATOR_JOB", "unecho")
    monkeypatch.setenv("UNECHO_COORDINATOR_UID", uid(space, "Job", "unecho"))
    owner(asked(space), mine)
    assert shown(space, mine) == ["job unecho: suspended"]

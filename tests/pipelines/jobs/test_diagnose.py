"""What keeps a run from going on is told in one line by the coordinator and by `unecho status`, within a minute."""

import json
import signal
import threading

from tests.runs import tiny
from tests.services.kubernetes import SMALL, Namespace, until

MINUTE_S = 60.0
CONFIG = tiny("iet.rounds=1", "execution.checkpoint_every_s=1")


class Outside:
    """A coordinator on this machine whose lines are read while it runs."""

    def __init__(self, namespace: Namespace, root: str) -> None:
        self.process = namespace.outside(CONFIG, root, "a")
        self.lines: list[str] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines += [""]
        for line in self.process.stdout:
            self.lines.append(line.rstrip())

    def told(self, *parts: str) -> str:
        """The line with these parts, within a minute."""
        found = until(
            lambda: [line for line in self.lines if all(part in line for part in parts)],
            f"a line with {parts}",
            MINUTE_S,
        )
        return found[0]

    def end(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(60)


def shown(namespace: Namespace, root: str, *parts: str) -> str:
    """What `unecho status` says in place of its line breaks, once it has these parts: within a minute."""

    def look() -> str | None:
        text = " ".join(namespace.status(f"{root}/runs/a").split())
        return text if all(part in text for part in parts) else None

    return until(look, f"status with {parts}", MINUTE_S)


def test_an_image_that_cannot_be_pulled(namespace: Namespace, root: str) -> None:
    overlay = namespace.overlay(CONFIG, root, "a", base="pods", image="registry.invalid/unecho:none")
    namespace.kubectl("apply", "-k", str(overlay))
    coordinator = Outside(namespace, root)
    coordinator.told("waits: prepare", "image registry.invalid/unecho:none cannot be pulled")
    shown(namespace, root, "unecho-a-prepare-0-", "waits: image registry.invalid/unecho:none cannot be pulled")
    assert coordinator.end() == 130


def test_a_missing_secret_and_then_the_secret(namespace: Namespace, root: str) -> None:
    namespace.kubectl("delete", "secret", "unecho-s3")
    namespace.kubectl("apply", "-k", str(namespace.overlay(CONFIG, root, "a")))
    shown(namespace, root, "no plan yet", "waits: CreateContainerConfigError", 'secret "unecho-s3" not found')
    coordinator = Outside(namespace, root)
    coordinator.told("waits: prepare", 'secret "unecho-s3" not found')
    assert coordinator.end() == 130
    keys = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL_S3")
    namespace.make_secret({key: namespace.settings[key] for key in keys})
    complete, log = namespace.coordinator()
    assert complete, log


def test_a_gpu_that_no_node_has_and_then_one_has(namespace: Namespace, root: str) -> None:
    namespace.kubectl(
        "apply", "-k", str(namespace.overlay(CONFIG, root, "a", base="overlays/gpu", patches=[SMALL_GPU]))
    )
    line = until(
        lambda: [
            line
            for line in namespace.kubectl("logs", "job/unecho", check=False).splitlines()
            if "waits: train" in line and "Insufficient nvidia.com/gpu" in line
        ],
        "the coordinator tells of the GPU",
        2 * MINUTE_S,  # the steps before it included
    )[0]
    assert "no node for it" in line
    shown(namespace, root, "unecho-a-train-0-", "waits: no node for it", "Insufficient nvidia.com/gpu")
    node = namespace.get("nodes")[0]["metadata"]["name"]
    patch = '{"status": {"capacity": {"nvidia.com/gpu": "%s"}}}'
    resource = ["patch", "node", node, "--subresource=status", "--type=merge", "--patch"]
    namespace.kubectl(*resource, patch % 1)
    try:
        complete, log = namespace.coordinator()
    finally:
        namespace.kubectl(*resource, patch % 0)
    assert complete, log
    limits = [pod["spec"]["containers"][0]["resources"]["limits"] for pod in namespace.pods(step="train")]
    assert [limit["nvidia.com/gpu"] for limit in limits] == ["1", "1"]


SMALL_GPU = {
    "target": {"kind": "PodTemplate"},
    "patch": json.dumps(
        [
            {"op": "replace", "path": "/template/spec/containers/0/resources/requests/cpu", "value": "50m"},
            {"op": "replace", "path": "/template/spec/containers/0/resources/requests/memory", "value": "200Mi"},
        ]
    ),
}


def test_rights_that_are_missing(namespace: Namespace, root: str) -> None:
    overlay = namespace.overlay(CONFIG, root, "a")
    rendered = namespace.kubectl("kustomize", str(overlay))
    without = [part for part in rendered.split("\n---\n") if "kind: RoleBinding" not in part]
    namespace.kubectl("apply", "-f", "-", input="\n---\n".join(without))
    complete, log = namespace.coordinator(MINUTE_S)
    assert not complete
    assert f"in namespace {namespace.name}: refused: " in log.splitlines()[-1]
    assert len(namespace.get("pods")) == 1, "status 2: no other coordinator pod is tried"
    shown(namespace, root, "failed: cluster: get podtemplate unecho-step", "manifests/base/rbac.yaml")


def test_a_bucket_that_is_not_there(namespace: Namespace, root: str) -> None:
    namespace.kubectl("apply", "-k", str(namespace.overlay(CONFIG, "s3://no-such-bucket/x", "a")))
    complete, log = namespace.coordinator(MINUTE_S)
    assert not complete
    last = json.loads(log.splitlines()[-1])
    assert last["status"] == 2
    assert "no-such-bucket" in last["message"]
    assert "no-such-bucket" in namespace.status("s3://no-such-bucket/x/runs/a")


def test_a_step_for_which_another_try_cannot_help(namespace: Namespace, root: str) -> None:
    config = tiny("iet.rounds=1", "data.source=s3://no-such-bucket/images")
    namespace.kubectl("apply", "-k", str(namespace.overlay(config, root, "a")))
    complete, log = namespace.coordinator(2 * MINUTE_S)
    assert not complete
    last = json.loads(log.splitlines()[-1])
    assert last["status"] == 2
    assert last["message"].startswith("prepare (pod unecho-a-prepare-0-")
    assert "no-such-bucket" in last["message"]
    assert len(namespace.pods(step="prepare")) == 1, "nobody tried again"
    events = [event for event in namespace.get("events") if event["reason"] == "StepFailed"]
    assert [event["message"] for event in events] == [last["message"]]
    assert events[0]["involvedObject"]["name"] == "unecho-run-a"
    shown(namespace, root, "failed: s3://no-such-bucket")


def test_a_quota_that_leaves_no_room(namespace: Namespace, root: str) -> None:
    namespace.kubectl("create", "quota", "none", "--hard=pods=0")
    namespace.kubectl("apply", "-k", str(namespace.overlay(CONFIG, root, "a", base="pods")))
    coordinator = Outside(namespace, root)
    coordinator.told("waits: job unecho-a-prepare: FailedCreate", "exceeded quota: none")
    shown(namespace, root, "job unecho-a-prepare: FailedCreate", "exceeded quota: none")
    assert coordinator.end() == 130
    # under Kueue nothing starts before the queue says so
    queue = {
        "target": {"kind": "PodTemplate"},
        "patch": '[{"op": "add", "path": "/template/metadata/labels/kueue.x-k8s.io~1queue-name", "value": "q"}]',
    }
    namespace.kubectl("apply", "-k", str(namespace.overlay(CONFIG, root, "a", base="pods", patches=[SMALL, queue])))
    coordinator = Outside(namespace, root)
    coordinator.told("job unecho-a-prepare: was made with other settings: made anew")
    coordinator.told("waits: job unecho-a-prepare: suspended: waits in queue q")
    job = namespace.get("jobs")[0]
    assert job["spec"]["suspend"] is True
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "q"
    assert coordinator.end() == 130


def test_a_name_that_is_taken_by_a_run_at_another_root(namespace: Namespace, root: str) -> None:
    namespace.kubectl("create", "configmap", "unecho-run-a", "--from-literal=run=s3://elsewhere/runs/a")
    namespace.kubectl("label", "configmap", "unecho-run-a", "app.kubernetes.io/name=unecho")
    namespace.kubectl("apply", "-k", str(namespace.overlay(CONFIG, root, "a", base="pods")))
    process = namespace.outside(CONFIG, root, "a")
    output = process.communicate(timeout=120)[0]
    assert process.returncode == 2
    assert f"run name 'a': taken in namespace {namespace.name} by s3://elsewhere/runs/a" in output.splitlines()[-1]
    assert "Traceback" not in output


def test_the_templates_of_the_pods_are_missing(namespace: Namespace, root: str) -> None:
    process = namespace.outside(CONFIG, root, "a")
    output = process.communicate(timeout=120)[0]
    assert process.returncode == 2
    assert "podtemplate unecho-step: not in namespace" in output.splitlines()[-1]
    assert "kubectl apply -k manifests/pods" in output

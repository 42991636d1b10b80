"""What a step is as a Job; no cluster is needed to say so."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from kubernetes import client

from unecho.components.run import Run
from unecho.components.steps import STEPS
from unecho.pipelines.jobs.diagnose import end_of, waits_for
from unecho.pipelines.jobs.job_spec import SPEC, StepJob, job_name, template_of, with_gpus

MANIFESTS = Path(__file__).parents[3] / "manifests"
OWNER = SimpleNamespace(metadata=SimpleNamespace(name="unecho-run-a", uid="1-2-3"))


def template(name: str) -> dict[str, Any]:
    file = {"unecho-step": "step.yaml", "unecho-gpu-step": "gpu-step.yaml"}[name]
    return dict(yaml.safe_load((MANIFESTS / "pods" / file).read_text())["template"])


def job(work: StepJob, tmp_path: Path, parallelism: int = 4) -> dict[str, Any]:
    return work.job(Run.at(str(tmp_path), "a"), template(template_of(work.step)), parallelism, OWNER)


@pytest.mark.parametrize("step", [name for name in STEPS if name not in ("plan", "begin")])
def test_a_pod_runs_the_line_that_a_person_would_type(step: str, tmp_path: Path) -> None:
    made = job(StepJob(step, 3 if STEPS[step].by_round else None, 1), tmp_path)
    container = made["spec"]["template"]["spec"]["containers"][0]
    round, index = ["--round", "3"], ["--index", "$(JOB_COMPLETION_INDEX)"]
    more = {
        "watch": round,
        "train": round + index,
        "aggregate": round,
        "redistribute": round,
        "pack": index,
        "encode": index,
        "sample": index,
    }.get(step)
    assert container["args"] == ["step", step, "--run", f"file://{tmp_path}/runs/a", *(more or [])]
    assert {"name": "UNECHO_IMAGE", "value": "unecho:0.1.0"} in container["env"]
    json.dumps(made)  # plain data


def test_ten_shards_on_four_gpus_are_one_job_of_four_pods_at_once(tmp_path: Path) -> None:
    spec = job(StepJob("train", 0, 10), tmp_path, parallelism=4)["spec"]
    assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 10, 4)
    assert job(StepJob("train", 0, 2), tmp_path, parallelism=4)["spec"]["parallelism"] == 2


def test_a_proxy_of_two_gpus_asks_for_two_where_its_template_asks_for_one() -> None:
    plain = template("unecho-gpu-step")
    assert with_gpus(plain, 2) == plain, "it has no GPU to ask for"
    asks = template("unecho-gpu-step")
    limits = asks["spec"]["containers"][0]["resources"]["limits"]
    limits |= {"nvidia.com/gpu": 1, "rdma/hca": 1}
    of_two = with_gpus(asks, 2)["spec"]["containers"][0]["resources"]["limits"]
    assert of_two == limits | {"nvidia.com/gpu": "2"}
    assert limits["nvidia.com/gpu"] == 1


def test_exit_status_2_ends_the_job_and_a_pod_that_was_asked_to_leave_is_not_counted(tmp_path: Path) -> None:
    spec = job(StepJob("train", 0, 2), tmp_path)["spec"]
    rules = spec["podFailurePolicy"]["rules"]
    on_codes = {tuple(rule["onExitCodes"]["values"]): rule["action"] for rule in rules if "onExitCodes" in rule}
    assert on_codes == {(2,): "FailJob", (143,): "Ignore"}
    conditions = [rule for rule in rules if "onPodConditions" in rule]
    assert [(r["action"], r["onPodConditions"][0]["type"]) for r in conditions] == [("Ignore", "DisruptionTarget")]
    assert spec["template"]["spec"]["restartPolicy"] == "Never"
    assert spec["backoffLimitPerIndex"] == 3, "four tries an index"


def test_a_job_belongs_to_the_runs_configmap_and_tells_what_it_was_made_of(tmp_path: Path) -> None:
    one, other = (job(StepJob("train", 0, 2), tmp_path, parallelism=p) for p in (1, 2))
    assert one["metadata"]["ownerReferences"][0]["uid"] == "1-2-3"
    assert one["metadata"]["name"] == other["metadata"]["name"] == "unecho-a-train-0"
    assert one["metadata"]["annotations"][SPEC] != other["metadata"]["annotations"][SPEC]
    assert one == job(StepJob("train", 0, 2), tmp_path, parallelism=1), "the same each time"


@pytest.mark.parametrize("length", [2, 30, 40, 48])
@pytest.mark.parametrize(("step", "round"), [("redistribute", 99_999), ("train", 0), ("prepare", None)])
def test_a_pods_host_name_fits_whatever_the_run_is_called(length: int, step: str, round: int | None) -> None:
    names = {job_name(letter * (length - 1) + end, step, round) for letter in "ab" for end in "xy"}
    assert len(names) == 4, "each run its own"
    for name in names:
        assert name.startswith("unecho-")
        assert len(f"{name}-99999") <= 63
        assert name.endswith(f"-{step}" if round is None else f"-{step}-{round}")


def pod(status: dict[str, Any]) -> Any:
    """A pod as the client reads it."""
    body = {
        "metadata": {"name": "unecho-a-train-0-0-x"},
        "spec": {"containers": [{"name": "step", "image": "i", "resources": {"limits": {"memory": "3Gi"}}}]},
        "status": status,
    }
    response = SimpleNamespace(data=json.dumps(body))
    return client.ApiClient().deserialize(response, "V1Pod")


def container(**state: Any) -> dict[str, Any]:
    named = {"name": "step", "image": "i:1", "imageID": "", "ready": False, "restartCount": 0}
    return {"containerStatuses": [named | {"state": state}]}


@pytest.mark.parametrize(
    ("ended", "status", "line"),
    [
        ({"exitCode": 2, "reason": "Error", "message": "x: missing"}, 2, "x: missing"),
        ({"exitCode": 137, "reason": "OOMKilled"}, 137, "killed: out of memory (limit 3Gi): raise it"),
        ({"exitCode": 1, "reason": "Error"}, 1, "ended with status 1 (Error)"),
        ({"exitCode": 0, "reason": "Completed"}, 0, "ended with status 0 (Completed)"),
    ],
)
def test_the_last_words_of_a_pod(ended: dict[str, Any], status: int, line: str) -> None:
    end = end_of(pod({"phase": "Failed", **container(terminated=ended)}))
    assert end is not None
    assert (end.status, end.line, end.fatal) == (status, line, status == 2)


def test_a_pod_that_was_evicted_before_it_ran_says_why() -> None:
    end = end_of(pod({"phase": "Failed", "reason": "Evicted", "message": "The node was low on\nmemory."}))
    assert end is not None
    assert end.line == "Evicted: The node was low on memory."
    assert not end.fatal


def test_a_pod_that_starts_or_runs_waits_for_nothing() -> None:
    assert waits_for(pod({"phase": "Pending", **container(waiting={"reason": "ContainerCreating"})})) is None
    assert waits_for(pod({"phase": "Running", **container(running={})})) is None
    assert end_of(pod({"phase": "Running", **container(running={})})) is None

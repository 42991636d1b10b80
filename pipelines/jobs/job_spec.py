"""A step, or a step for every index, as one Indexed Job: its name, labels, pods, and which failures count."""

import copy
import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any, Final

from ...components.run import Run
from ...components.steps import STEPS
from ..trying import TRIES

RUN: Final = "unecho/run"
STEP: Final = "unecho/step"
ROUND: Final = "unecho/round"
SPEC: Final = "unecho/spec"
"""Annotation of a Job: a hash of what it was made of."""
ADDRESS: Final = "unecho/address"
"""Annotation: the run's address, ROOT/runs/NAME."""

APP: Final = "app.kubernetes.io/name"
"""Label of all that a run has; its value is "unecho"."""

_LONGEST = 57  # a Job's name and a dash and its index name a pod's host: 63 letters


def owner_name(run: str) -> str:
    """The ConfigMap that owns all that a run has."""
    return f"unecho-run-{run}"


def job_name(run: str, step: str, round: int | None) -> str:
    """Deterministic and at most 57 letters: unecho-RUN-STEP-ROUND, a long run's name shortened to a hash."""
    start, end = "unecho-", f"-{step}" if round is None else f"-{step}-{round}"
    room = _LONGEST - len(start) - len(end)
    if len(run) <= room:
        return start + run + end
    digest = hashlib.sha256(run.encode()).hexdigest()[:8]
    return f"{start}{run[: room - 9].rstrip('-')}-{digest}{end}"


def is_of(job: Any, run: Run) -> bool:
    """Whether a Job was made for a run, by this program. No other is gone on with, removed or counted."""
    labels, annotations = job.metadata.labels or {}, job.metadata.annotations or {}
    return bool(labels.get(APP) == "unecho" and annotations.get(ADDRESS) == run.url)


def job_labels(run: str, step: str, round: int | None) -> dict[str, str]:
    """Of a Job and its pods."""
    found = {APP: "unecho", RUN: run, STEP: step}
    return found if round is None else found | {ROUND: str(round)}


_KEPT_S: Final = 24 * 3600
"""How long a finished Job stays to be looked at."""
_QUEUE: Final = "kueue.x-k8s.io/"


def template_of(step: str) -> str:
    """Name of the PodTemplate that says what a step's pods look like."""
    return "unecho-gpu-step" if STEPS[step].on_device else "unecho-step"


_GPU: Final = re.compile(r"[a-z0-9.-]+/gpu")
"""Resources that are GPUs: nvidia.com/gpu, amd.com/gpu."""


def with_gpus(template: dict[str, Any], count: int) -> dict[str, Any]:
    """A pod template whose first container asks for so many GPUs, where it asks for any."""
    found = copy.deepcopy(template)
    resources = found["spec"]["containers"][0].get("resources") or {}
    for amounts in resources.values():
        for name in amounts if isinstance(amounts, dict) else ():
            if _GPU.fullmatch(name):
                amounts[name] = str(count)
    return found


@dataclass(frozen=True)
class StepJob:
    """What one Job does.

    Attributes:
        size: how many indexes; 1 for a step that has none.
    """

    step: str
    round: int | None
    size: int

    def indices(self) -> range:
        return range(self.size)

    def name(self, run: Run) -> str:
        """The Job's name."""
        return job_name(run.name, self.step, self.round)

    def job(self, run: Run, template: dict[str, Any], parallelism: int, owner: Any) -> dict[str, Any]:
        """The Job.

        Args:
            template: the pods', as the PodTemplate has it; its first container runs the step.
            parallelism: pods at once, at most.
            owner: the run's ConfigMap.

        Source: kubernetes.io, Indexed Jobs, pod failure policy, backoff limit per index (v1.33, stable).
        """
        pod = self._pod(run, template)
        container = pod["spec"]["containers"][0]["name"]
        labels = job_labels(run.name, self.step, self.round)
        queue = {name: value for name, value in pod["metadata"]["labels"].items() if name.startswith(_QUEUE)}
        spec: dict[str, Any] = {
            "completionMode": "Indexed",
            "completions": self.size,
            "parallelism": min(parallelism, self.size),
            "backoffLimitPerIndex": TRIES - 1,
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": {"rules": _failure_rules(container)},
            "ttlSecondsAfterFinished": _KEPT_S,
            "template": pod,
        }
        if queue:  # the queue lets it go
            spec["suspend"] = True
        digest = hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()[:16]
        return {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {
                "name": self.name(run),
                "labels": labels | queue,
                "annotations": {SPEC: digest, ADDRESS: run.url},
                "ownerReferences": [
                    {
                        "apiVersion": "v1",
                        "kind": "ConfigMap",
                        "name": owner.metadata.name,
                        "uid": owner.metadata.uid,
                        "controller": True,
                    }
                ],
            },
            "spec": spec,
        }

    def _pod(self, run: Run, template: dict[str, Any]) -> dict[str, Any]:
        pod = copy.deepcopy(template)
        metadata = pod.setdefault("metadata", {})
        metadata["labels"] = (metadata.get("labels") or {}) | job_labels(run.name, self.step, self.round)
        pod["spec"]["restartPolicy"] = "Never"
        container = pod["spec"]["containers"][0]
        container["args"] = self._arguments(run)
        container["env"] = [*(container.get("env") or []), {"name": "UNECHO_IMAGE", "value": container["image"]}]
        return pod

    def _arguments(self, run: Run) -> list[str]:
        """The command line of `unecho`, the same that a person would type."""
        step = STEPS[self.step]
        arguments = ["step", self.step, "--run", run.url]
        if step.by_round:
            arguments += ["--round", str(self.round)]
        if step.by_index:
            arguments += ["--index", "$(JOB_COMPLETION_INDEX)"]  # set in every pod of an Indexed Job
        return arguments


def _failure_rules(container: str) -> list[dict[str, Any]]:
    """Trying again cannot help: the Job has failed. A pod that was asked to leave: not counted. Else: counted."""
    return [
        {"action": "FailJob", "onExitCodes": {"containerName": container, "operator": "In", "values": [2]}},
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {"action": "Ignore", "onExitCodes": {"containerName": container, "operator": "In", "values": [143]}},
    ]

"""What a pod or a Job is waiting for, and how a container has ended: one line each, for people."""

from dataclasses import dataclass
from typing import Any, Final

from ...components.failure import FATAL, TERMINATED
from .cluster import Cluster

_STARTING: Final = {"ContainerCreating", "PodInitializing"}


@dataclass(frozen=True)
class End:
    """How a pod's step has ended.

    Attributes:
        status: exit status.
        line: its last words, or what Kubernetes says.
    """

    status: int
    line: str

    @property
    def fatal(self) -> bool:
        return self.status == FATAL

    @property
    def asked(self) -> bool:
        """It was told to leave, and kept its progress."""
        return self.status == TERMINATED


def end_of(pod: Any) -> End | None:
    """How a pod has ended; None while it has not."""
    for status in pod.status.container_statuses or []:
        ended = status.state.terminated
        if ended is None:
            continue
        if ended.reason == "OOMKilled":
            return End(ended.exit_code, f"killed: out of memory (limit {_memory_limit(pod, status.name)}): raise it")
        words = (ended.message or "").strip().splitlines()
        return End(ended.exit_code, words[-1] if words else f"ended with status {ended.exit_code} ({ended.reason})")
    if pod.status.phase == "Failed":  # evicted, or its node has gone, before a container could say anything
        return End(-1, _one_line(f"{pod.status.reason or 'failed'}: {pod.status.message or 'no message'}"))
    return None


def waits_for(pod: Any) -> str | None:
    """Why a pod does not run: what is missing, refused or too large; None while nothing is wrong."""
    if pod.status.phase not in ("Pending", "Running"):
        return None
    for condition in pod.status.conditions or []:
        if condition.type == "PodScheduled" and condition.status == "False":
            return _one_line(f"no node for it: {condition.message or condition.reason}")
    statuses = [*(pod.status.init_container_statuses or []), *(pod.status.container_statuses or [])]
    for status in statuses:
        waiting = status.state.waiting
        if waiting and waiting.reason not in _STARTING:
            return _one_line(f"{_cause(waiting.reason, status.image)}: {waiting.message or 'no message'}")
    return None


def refused(job: Any, warnings: list[Any]) -> str | None:
    """Why a Job has no pods: a quota, Pod Security, a missing service account, a queue; None: nothing is wrong."""
    if job.spec.suspend:
        queue = (job.metadata.labels or {}).get("kueue.x-k8s.io/queue-name")
        return f"suspended{f': waits in queue {queue}' if queue else ''}"
    if job.status.active or not warnings:
        return None
    return _one_line(f"{warnings[-1].reason}: {warnings[-1].message}")


def _cause(reason: str, image: str) -> str:
    if reason in ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"):
        return f"image {image} cannot be pulled ({reason})"
    return str(reason)


def _memory_limit(pod: Any, container: str) -> str:
    for candidate in pod.spec.containers:
        if candidate.name == container and candidate.resources and candidate.resources.limits:
            return str(candidate.resources.limits.get("memory", "the node's"))
    return "the node's"


def _one_line(text: str) -> str:
    return " ".join(text.split())


_INDEX: Final = "batch.kubernetes.io/job-completion-index"


def holds(job: Any, *kinds: str) -> bool:
    """Whether one of these conditions is true of a Job: "Complete", "Failed", "FailureTarget"."""
    return any(c.status == "True" and c.type in kinds for c in job.status.conditions or [])


def index_of(pod: Any) -> int:
    """Which of its Job's indexes a pod does; 0 where the Job has none."""
    return int((pod.metadata.annotations or {}).get(_INDEX, 0))


def pods_of(cluster: Cluster, job: Any) -> list[Any]:
    """A Job's own pods, the oldest first."""
    found = cluster.pods(f"batch.kubernetes.io/controller-uid={job.metadata.uid}")
    return sorted(found, key=lambda pod: str(pod.metadata.creation_timestamp))

"""What stands where in Kubernetes' Jobs and pods."""

from typing import Any, Final

from unecho.pipelines.cluster.access import Cluster

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

"""What a cluster shows of a run: its pods, how far they say they are, and what is wrong with them."""

import json
from dataclasses import dataclass
from typing import Any

from ...components.run import Run
from .cluster import Cluster
from .coordinator import coordinators
from .diagnose import end_of, holds, index_of, pods_of, refused, waits_for
from .job_spec import APP, ROUND, RUN, STEP, is_of


@dataclass(frozen=True)
class PodStatus:
    """A pod of a run that has not ended well.

    Attributes:
        step: its step, or "coordinator".
        state: "pending", "running" or "failed".
        problem: what it waits for, or its last words.
        progress: what it said last of its progress: done, total, unit, loss, skip_rate...
    """

    name: str
    step: str
    round: int | None
    index: int
    state: str
    problem: str | None
    progress: dict[str, Any]


@dataclass(frozen=True)
class ClusterStatus:
    """What a cluster shows of a run: pods, and Jobs that have none though they should."""

    pods: list[PodStatus]
    problems: list[str]


def cluster_status(cluster: Cluster, run: Run) -> ClusterStatus:
    """Look once.

    Raises:
        Fatal: the API server refuses; Unreachable: it does not answer.
    """
    jobs = [job for job in cluster.jobs(f"{APP}=unecho,{RUN}={run.name}") if is_of(job, run)]
    seen, problems = [], []
    for job in jobs + coordinators(cluster, run):
        if holds(job, "Complete"):
            continue
        newest = {index_of(pod): pod for pod in pods_of(cluster, job)}
        seen += [status for pod in newest.values() if (status := _pod(cluster, pod))]
        if not newest and not holds(job, "Failed"):
            why = refused(job, cluster.warnings(job))
            problems += [f"job {job.metadata.name}: {why}"] if why else []
    return ClusterStatus(sorted(seen, key=lambda pod: (pod.step, pod.round or 0, pod.index)), problems)


def _pod(cluster: Cluster, pod: Any) -> PodStatus | None:
    labels = pod.metadata.labels
    end = end_of(pod)
    if end and not end.status:
        return None
    running = pod.status.phase == "Running" and end is None
    return PodStatus(
        name=pod.metadata.name,
        step=labels.get(STEP, "coordinator"),
        round=int(labels[ROUND]) if ROUND in labels else None,
        index=index_of(pod),
        state="failed" if end else "running" if running else "pending",
        problem=end.line if end else waits_for(pod),
        progress=_progress(cluster.log_tail(pod.metadata.name, 20)) if running else {},
    )


def _progress(log: str) -> dict[str, Any]:
    """The newest line that tells of progress."""
    for line in reversed(log.splitlines()):
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict) and "done" in found and "total" in found:
            return found
    return {}

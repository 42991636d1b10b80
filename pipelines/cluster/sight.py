"""What a cluster shows of a run: its pods, how far they say they are, and what is wrong."""

import json
from dataclasses import dataclass
from typing import Any

from components.run import Run
from pipelines.cluster import naming
from pipelines.cluster.access import Cluster
from pipelines.cluster.troubles import end_of, refused, waits_for

_INDEX = "batch.kubernetes.io/job-completion-index"


@dataclass(frozen=True)
class PodSight:
    """A pod of a run that has not ended well.

    Attributes:
        step: its step, or "coordinator".
        state: "pending", "running" or "failed".
        wrong: what it waits for, or its last words.
        told: what it said last of its progress: done, total, unit, loss, skip_rate...
    """

    name: str
    step: str
    round: int | None
    index: int
    state: str
    wrong: str | None
    told: dict[str, Any]


@dataclass(frozen=True)
class Sight:
    """What a cluster shows of a run: pods, and Jobs that have none though they should."""

    pods: list[PodSight]
    wrong: list[str]


def see(cluster: Cluster, run: Run) -> Sight:
    """Look once.

    Raises:
        Fatal: the API server refuses; Unreachable: it does not answer.
    """
    jobs = {job.metadata.uid: job for job in cluster.jobs(f"{naming.RUN}={run.name}") if _is_of(job, run)}
    jobs |= {job.metadata.uid: job for job in cluster.jobs("unecho/coordinator=true")}
    pods: dict[str, list[Any]] = {uid: [] for uid in jobs}
    for pod in cluster.pods("app.kubernetes.io/name=unecho"):
        uid = (pod.metadata.labels or {}).get("batch.kubernetes.io/controller-uid")
        if uid in pods:
            pods[uid].append(pod)
    seen, wrong = [], []
    for uid, job in jobs.items():
        newest = {(pod.metadata.annotations or {}).get(_INDEX): pod for pod in sorted(pods[uid], key=_made)}
        seen += [sight for pod in newest.values() if (sight := _pod(cluster, pod))]
        if not pods[uid] and not _ended(job):
            why = refused(job, cluster.warnings("Job", job.metadata.name, uid))
            wrong += [f"job {job.metadata.name}: {why}"] if why else []
    return Sight(sorted(seen, key=lambda pod: (pod.step, pod.round or 0, pod.index)), wrong)


def _pod(cluster: Cluster, pod: Any) -> PodSight | None:
    labels = pod.metadata.labels
    end = end_of(pod)
    if end and not end.status:
        return None
    index = (pod.metadata.annotations or {}).get(_INDEX, "0")
    running = pod.status.phase == "Running" and end is None
    return PodSight(
        name=pod.metadata.name,
        step=labels.get(naming.STEP, "coordinator"),
        round=int(labels[naming.ROUND]) if naming.ROUND in labels else None,
        index=int(index),
        state="failed" if end else "running" if running else "pending",
        wrong=end.line if end else waits_for(pod),
        told=_progress(cluster.log_tail(pod.metadata.name, 20)) if running else {},
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


def _is_of(job: Any, run: Run) -> bool:
    return (job.metadata.annotations or {}).get(naming.ADDRESS) == run.url


def _ended(job: Any) -> bool:
    return any(c.status == "True" and c.type in ("Complete", "Failed") for c in job.status.conditions or [])


def _made(pod: Any) -> str:
    return str(pod.metadata.creation_timestamp)

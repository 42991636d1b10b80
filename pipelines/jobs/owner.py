"""The ConfigMap unecho-run-NAME: it owns every Job of a run; deleting it ends the run in the cluster."""

import os
import time
from typing import Any, Final

from ...components.failure import Fatal
from ...components.run import Run
from .cluster import Cluster, OverQuota
from .job_spec import ADDRESS, APP, RUN, owner_name

_GOING_S: Final = 300.0
"""How long a ConfigMap may take to go."""


def owner(cluster: Cluster, run: Run, *, seen: str | None = None) -> Any:
    """The run's ConfigMap, made where it is missing.

    A coordinator that is a Job itself becomes an owner of the ConfigMap, so that deleting it deletes all; two that
    run at once are both its owners.

    Args:
        seen: its uid, when this process has had it before.

    Raises:
        Fatal: it belongs to a run of that name at another root, or to nobody we know; or it has been deleted under a
            coordinator outside the cluster, which means: stop; or a quota or its namespace leaves no room for it.
    """
    name = owner_name(run.name)
    began = time.monotonic()
    while True:
        found = cluster.config_map(name)
        if found is None or found.metadata.deletion_timestamp:
            if seen and not cluster.inside:
                raise Fatal(f"run {run.url}: configmap {name} was deleted: the run has been ended in this cluster")
            if found is None:
                found = _made(cluster, run, name)
            if found is None or found.metadata.deletion_timestamp:
                if time.monotonic() - began > _GOING_S:
                    raise Fatal(
                        f"configmap {name}: is being deleted for {_GOING_S:.0f} s and does not go: see what holds it: "
                        f"kubectl -n {cluster.namespace} get configmap {name} -o yaml"
                    )
                time.sleep(0.2)  # it is going, or another coordinator was first
                continue
        _check(found, run, name, cluster.namespace)
        me = _coordinator()
        if me is None or any(reference.uid == me["uid"] for reference in found.metadata.owner_references or []):
            return found
        patch = {"metadata": {"uid": found.metadata.uid, "ownerReferences": [me, *_references(found)]}}
        if (patched := cluster.patch_config_map(name, patch)) is not None:
            return patched


def _made(cluster: Cluster, run: Run, name: str) -> Any | None:
    try:
        return cluster.create_config_map(_body(run, name))
    except OverQuota as error:
        raise Fatal(f"configmap {name}: {error}: raise the quota of namespace {cluster.namespace}") from None


def _check(found: Any, run: Run, name: str, namespace: str) -> None:
    """Whether the ConfigMap is the run's: nothing else is touched."""
    there = (found.data or {}).get("run")
    if (found.metadata.labels or {}).get(APP) != "unecho" or not there:
        raise Fatal(
            f"configmap {name}: is there and not of this run: it has no label {APP}=unecho and no address of a run: "
            "take another --name, or remove it"
        )
    if there != run.url or (found.metadata.annotations or {}).get(ADDRESS, run.url) != run.url:
        raise Fatal(
            f"run name '{run.name}': taken in namespace {namespace} by {there}: take another --name, "
            f"or end that one: kubectl delete configmap {name}"
        )


def _body(run: Run, name: str) -> dict[str, Any]:
    me = _coordinator()
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": name,
            "labels": {APP: "unecho", RUN: run.name},
            "annotations": {ADDRESS: run.url},
            "ownerReferences": [me] if me else [],
        },
        "data": {"run": run.url},
    }


def _coordinator() -> dict[str, Any] | None:
    """The Job that this process is a pod of, as an owner; the manifests put its name and uid into the environment."""
    name, uid = os.environ.get("UNECHO_COORDINATOR_JOB"), os.environ.get("UNECHO_COORDINATOR_UID")
    if not name or not uid:
        return None
    return {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": uid}


def _references(found: Any) -> list[dict[str, Any]]:
    return [
        {"apiVersion": r.api_version, "kind": r.kind, "name": r.name, "uid": r.uid}
        for r in found.metadata.owner_references or []
    ]

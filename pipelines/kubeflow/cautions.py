"""What is better known before a pipeline is uploaded or a run started; a line each."""

from typing import Final

from ...components.log import emit
from .pods import Pods

MOST_SHARDS: Final = 16
"""Beyond them the jobs engine is advised."""
_SHARED: Final = ("artifacts", "shared")
_OWN: Final = ("private", "private-artifacts")
"""Followed by the namespace."""


def warn(*lines: str) -> None:
    """Tell them on stderr."""
    for line in lines:
        emit(line, shown=f"unecho: warning: {line}", level="warning")


def pods_of_a_round(shards: int) -> tuple[int, int]:
    """Pods that run a step, and Kubeflow's driver pods."""
    return shards + 4, 2 * shards + 8


def of_many_shards(shards: int, rounds: int | None = None) -> list[str]:
    """What more than `MOST_SHARDS` cost.

    Args:
        rounds: None where the form will say how many.
    """
    if shards <= MOST_SHARDS:
        return []
    steps, drivers = pods_of_a_round(shards)
    in_all = f", {rounds * (steps + drivers):,} pods in {rounds} rounds" if rounds and rounds > 1 else ""
    cost = f"a round of {shards} shards is {steps} pods that run a step and {drivers} driver pods{in_all}"
    limit = "Argo keeps account of all pods in one object of about 1 MB at most (etcd's limit)"
    return [f"{cost}, and {limit}: with so many shards use the jobs engine (unecho run --engine jobs)"]


def of_kubeflows_store(pods: Pods, root: str | None, namespace: str | None = None) -> list[str]:
    """Where Kubeflow has many users, its bucket lets a namespace in at few places (since 2.16).

    Args:
        root: None where the form will say it.
        namespace: None where it is not known.
    """
    if pods.layout != "mlpipeline-minio-artifact":
        return []
    place, _, rest = (root or "").removeprefix("s3://mlpipeline/").partition("/")
    owner = rest.partition("/")[0]
    if place in _SHARED or (place in _OWN and owner and owner == (namespace or owner)):
        return []
    own = f"s3://mlpipeline/private/{namespace or 'NAMESPACE'}/"
    reaches = f"where Kubeflow has many users, a namespace's key reaches {own} and not the whole bucket"
    return [f"{reaches}: {root} would be refused" if root else f"{reaches}: give a root below it in the form"]

"""What is better known before a pipeline is uploaded or a run started; a line each."""

from collections.abc import Mapping
from typing import Final

from ...components.log import emit
from .pods import Pods

MOST_SHARDS: Final = 16
"""Beyond them, or so many of what another loop goes over, the jobs engine is advised."""
MOST_PODS: Final = 1000
"""Of a run, in all. A loop of 2,000 has met etcd's limit (https://github.com/kubeflow/pipelines/issues/4175)."""
_LIMIT: Final = (
    "Argo keeps account of all pods of a run in one object of 1 MiB at most, compressed (etcd's limit), and ends a run "
    "that outgrows it"
)
_MAPS: Final[Mapping[str, str]] = {"packs": "pack", "encodings": "encode", "parts": "sample"}
"""The loops that run once, and their steps."""
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
    return [f"{cost}, and {_LIMIT}: with so many shards use the jobs engine (unecho run --engine jobs)"]


def pods_of_a_run(sizes: Mapping[str, int]) -> tuple[int, int]:
    """Pods of a whole run that run a step, and Kubeflow's driver pods.

    Args:
        sizes: what `RunConfig.sizes` says of each loop.
    """
    steps, drivers = pods_of_a_round(sizes["shards"])
    once = sum(sizes[over] for over in _MAPS)
    return sizes["rounds"] * steps + 6 + once, sizes["rounds"] * drivers + 15 + 2 * once


def of_many_pods(sizes: Mapping[str, int]) -> list[str]:
    """What a run with long loops costs, a line each: shards, shares, parts, and all of it.

    Args:
        sizes: as above.
    """
    lines = of_many_shards(sizes["shards"], sizes["rounds"])
    for over, step in _MAPS.items():
        if (count := sizes[over]) > MOST_SHARDS:
            cost = f"{count} x {step} is {count} pods that run a step and {2 * count} driver pods"
            lines.append(f"{cost}, and {_LIMIT}: ask for {MOST_SHARDS} at most, or use the jobs engine")
    steps, drivers = pods_of_a_run(sizes)
    if not lines and steps + drivers > MOST_PODS:
        cost = f"the run is {steps:,} pods that run a step and {drivers:,} driver pods"
        lines.append(f"{cost}, and {_LIMIT}: use the jobs engine (unecho run --engine jobs)")
    return lines


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

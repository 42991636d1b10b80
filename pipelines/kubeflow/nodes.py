"""Which step, of which round and shard, a node of KFP's backend is.

KFP 2.17 lists the nodes of an Argo workflow as a run's tasks: drivers, their tries, loops, iterations and pods, several
to each pod of ours. Of a node it tells display name, state and the ids of its children; its own id, its parent, its
iteration and its error are fields that it leaves empty. But an id is a hash of the node's path in the workflow, and the
paths follow from the pipeline: so a step is known by the id of its pod, its only child.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import yaml

_DRIVER: Final = "-driver"
_PRIME: Final = 0x01000193


@dataclass(frozen=True)
class Node:
    """What the API tells of a node.

    Attributes:
        id: the API's own, not the workflow's.
        children: ids in the workflow, each WORKFLOW-HASH.
        error: empty in KFP 2.17.
    """

    id: str
    name: str
    state: str
    children: tuple[str, ...] = ()
    started: datetime | None = None
    error: str = ""


@dataclass(frozen=True)
class StepNode:
    """A step that has started, or whose driver has.

    Attributes:
        label: the step at its address, "train 1 0"; without the address where it cannot be told.
        is_driver: this is KFP's own pod before the step's.
    """

    node: Node
    label: str
    is_driver: bool


class Places:
    """Where the steps of a pipeline are in its workflow."""

    def __init__(self, pipeline: Path, lists: Mapping[str, Sequence[int]]) -> None:
        """
        Args:
            pipeline: the compiled file.
            lists: what `plan` hands to the loops, by what they go over: an iteration is told by its position.
        """
        self._spec: dict[str, Any] = next(iter(yaml.safe_load_all(pipeline.read_text())))
        self._lists = lists
        labels = (component.get("executorLabel", "") for component in self._spec["components"].values())
        self._tasks = {label.removeprefix("exec-") for label in labels if label}
        self._labels: dict[str, dict[str, str]] = {}

    def steps(self, nodes: Sequence[Node]) -> list[StepNode]:
        """The nodes that are steps, and drivers of steps, as they stand."""
        found = []
        for node in nodes:
            name = node.name.removesuffix(_DRIVER)
            if name in self._tasks and node.children:  # without a pod it waits, or has been skipped
                labels = (self._labels_of(child.rpartition("-")[0]).get(child) for child in node.children)
                label = next((label for label in labels if label), name)
                found.append(StepNode(node, label, node.name != name))
        return found

    def _labels_of(self, workflow: str) -> dict[str, str]:
        """Of the steps, by the id of their pod or of their driver's first try."""
        if workflow not in self._labels:
            labels = self._labels[workflow] = {}
            for path, label in self._paths(self._spec["root"]["dag"], f"{workflow}.root", {}):
                labels[node_id(workflow, f"{path}.executor")] = label
                labels[node_id(workflow, f"{path}{_DRIVER}(0)")] = label
        return self._labels[workflow]

    def _paths(self, dag: Mapping[str, Any], path: str, at: Mapping[str, int]) -> Iterator[tuple[str, str]]:
        for name, task in dag["tasks"].items():
            component = self._spec["components"][task["componentRef"]["name"]]
            here = f"{path}.{name}"
            if "dag" not in component:
                step = component["executorLabel"].removeprefix("exec-")
                yield here, " ".join([step, *map(str, at.values())])  # the outer loop is that over rounds
            elif "parameterIterator" in task:
                over = task["taskInfo"]["name"]
                for position, index in enumerate(self._lists[over]):
                    item = f"{here}.iteration-iterations({position}:{position}).iteration-item"
                    yield from self._paths(component["dag"], item, {**at, over: index})
            else:
                yield from self._paths(component["dag"], here, at)


def node_id(workflow: str, path: str) -> str:
    """Argo's id of the node at a path: FNV-1a, 32 bits."""
    hash = 0x811C9DC5
    for byte in path.encode():
        hash = (hash ^ byte) * _PRIME & 0xFFFFFFFF
    return f"{workflow}-{hash}"

"""How many pods a compiled pipeline costs on KFP's backend, counted from its spec.

The rule was measured on KFP 2.17: a container task is a driver pod and its own pod; a nested pipeline, a loop, each of
its iterations and a condition are one driver pod each, and so is the whole.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineSpec, PipelineTaskSpec


@dataclass(frozen=True)
class Count:
    """Pods that run a step, and pods of KFP's own."""

    user: int = 0
    driver: int = 0

    def __add__(self, other: "Count") -> "Count":
        return Count(self.user + other.user, self.driver + other.driver)

    def __rmul__(self, times: int) -> "Count":
        return Count(times * self.user, times * self.driver)

    def __sub__(self, other: "Count") -> "Count":
        return self + -1 * other


def pods(spec: PipelineSpec, lengths: Mapping[str, int], goes: bool = True) -> Count:
    """All pods of a run.

    Args:
        lengths: of the loops, by the name that the UI shows.
        goes: whether conditions hold.
    """

    def of_task(task: PipelineTaskSpec) -> Count:
        component = spec.components[task.component_ref.name]
        if component.WhichOneof("implementation") == "executor_label":
            return Count(user=1, driver=1)
        if task.trigger_policy.condition and not goes:
            return Count(driver=1)
        once = Count(driver=1) + sum((of_task(inner) for inner in component.dag.tasks.values()), Count())
        if task.WhichOneof("iterator") is None:
            return once
        return Count(driver=1) + lengths[task.task_info.name] * once

    return sum((of_task(task) for task in spec.root.dag.tasks.values()), Count(driver=1))

"""The KFP pipeline of a loop, built inside out: the innermost loop first.

Each loop is a small pipeline of its own, for two reasons. A task can only come after a task, and a nested pipeline is
one while a loop is none; and KFP's local runner finds the list of a loop only among the inputs of its own pipeline.
"""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from kfp import compiler, dsl
from kfp.dsl import pipeline_context

from ...components.failure import Fatal
from ...components.kubeflow_task.entry import Entry
from ...components.kubeflow_task.outputs import DECISION
from ...components.steps import STEPS
from ..loop import Map, Single
from .component import Component, component, retraining
from .definition import Definition
from .pod_spec import set_pod_spec
from .pods import Pods
from .trace import Beside, Node, Repeat, traced

_Lists = Mapping[str, Any]
"""What loops go over, by name: "packs", "encodings", "rounds", "shards", "parts"."""


def compile_pipeline(
    path: Path, definition: Definition, pods: Pods, parallelism: int, defaults: Mapping[str, Any]
) -> None:
    """Write a pipeline as YAML: a pure function of the arguments and of kfp's version.

    Args:
        parallelism: shards that train at once, and parts that are sampled at once.
        defaults: of the form, in place of its own.

    Raises:
        Fatal: the file cannot be written, or a setting is not one of Kubernetes'.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        graph = Builder(definition, pods, parallelism).whole(defaults)
        compiler.Compiler().compile(graph, str(path))
    except OSError as error:
        raise Fatal(f"{path}: {error.strerror}") from None
    except ValueError as error:  # kfp checks quantities, labels and names
        raise Fatal(f"compile: {str(error).splitlines()[0]}") from None


class Builder:
    """Makes the pipelines of a definition: the whole, and one for each of its loops."""

    def __init__(self, definition: Definition, pods: Pods, parallelism: int) -> None:
        self._definition, self._pods, self._parallelism = definition, pods, parallelism
        self._loops = count(1)

    def whole(self, defaults: Mapping[str, Any]) -> Component:
        """The pipeline that is uploaded: a form, the plan that it makes, and then the loop; or a form and one task."""
        # as a function's parameters stand; the UI sorts them by name
        form = sorted(self._definition.form, key=lambda entry: entry.default is not None)
        if self._definition.loop is None:
            return self._one_task(form, defaults)
        outputs = self._definition.outputs["plan"]
        first, *rest = traced(self._definition.loop)
        assert first == Single("plan"), "everything else is addressed by what the plan says"
        inner = self._nested(rest)

        def pipeline(*values: Any) -> None:
            plan = self._task("plan", **dict(zip(names, values, strict=True)), run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER)
            lists = {output.name: plan.outputs[output.name] for output in outputs if output.kind == "list"}
            self._sequence(rest, inner, plan.outputs["run"], None, lists)

        names = [entry.name for entry in form]
        return self._signed(pipeline, form, defaults)

    def _one_task(self, form: Sequence[Entry], defaults: Mapping[str, Any]) -> Component:
        """The pipeline of a retraining, which is a command of its own."""
        start = retraining(self._pods.image)

        def pipeline(*values: Any) -> None:
            given = zip((entry.name for entry in form), values, strict=True)
            set_pod_spec(start(**dict(given)), True, self._pods, self._pods.accelerators)

        return self._signed(pipeline, form, defaults)

    def _signed(self, pipeline: Callable[..., None], form: Sequence[Entry], defaults: Mapping[str, Any]) -> Component:
        _sign(pipeline, self._definition.purpose, form, defaults)
        whole: Component = dsl.pipeline(name=self._definition.name, description=self._definition.description)(pipeline)
        return whole

    def _nested(self, sequence: Iterable[Node]) -> dict[Node, Component]:
        """The pipelines of the loops in a sequence."""
        made: dict[Node, Component] = {}
        for node in sequence:
            if isinstance(node, Beside):
                made |= self._nested(node.works)
            elif isinstance(node, Map):
                made[node] = self._map(node)
            elif isinstance(node, Repeat):
                made[node] = self._repeat(node)
        return made

    def _map(self, node: Map) -> Component:
        name = node.name

        def in_rounds(run: str, round: int, indices: list[int]) -> None:
            self._number_groups()
            with dsl.ParallelFor(indices, name=node.over, parallelism=self._parallelism) as index:
                self._task(name, run=run, round=round, index=index)

        def once(run: str, indices: list[int]) -> None:
            self._number_groups()
            with dsl.ParallelFor(indices, name=node.over, parallelism=self._parallelism) as index:
                self._task(name, run=run, index=index)

        made: Component = dsl.pipeline(name=node.over)(in_rounds if STEPS[name].by_round else once)
        return made

    def _repeat(self, node: Repeat) -> Component:
        inner = self._nested(node.body)

        def in_order(run: str, rounds: list[int], shards: list[int]) -> None:
            self._number_groups()
            # A failed iteration does not keep KFP from the next one: begin looks whether the round before has ended.
            with dsl.ParallelFor(rounds, name=node.over, parallelism=1) as round:
                begin = self._task("begin", run=run, round=round)
                with dsl.If(begin.outputs[DECISION] == "go", name="go"):
                    self._sequence(node.body, inner, run, round, {"shards": shards})

        made: Component = dsl.pipeline(name=node.over)(in_order)
        return made

    def _number_groups(self) -> None:
        """Let this pipeline's loop have a number that no other one's has.

        Each nested pipeline counts its loops from 1, and where two are merged kfp renames those of the same number one
        after another, in an order that is another in each process: the file would not be a function of its inputs.
        """
        for _ in range(10 * next(self._loops)):
            pipeline_context.Pipeline.get_default_pipeline().get_next_group_id()

    def _sequence(
        self, sequence: Iterable[Node], inner: Mapping[Node, Component], run: Any, round: Any, lists: _Lists
    ) -> None:
        """Tasks one after another, those of a `Beside` next to each other."""
        before: list[dsl.PipelineTask] = []
        for node in sequence:
            works = node.works if isinstance(node, Beside) else (node,)
            tasks = [self._started(work, inner, run, round, lists) for work in works]
            for task in tasks:
                task.set_caching_options(False)
                task.after(*before)
            before = tasks

    def _started(
        self, work: Single | Map | Repeat, inner: Mapping[Node, Component], run: Any, round: Any, lists: _Lists
    ) -> dsl.PipelineTask:
        """One task: of a step, or of the nested pipeline of a loop."""
        match work:
            case Single():
                return self._task(work.name, **_address(work.name, run, round))
            case Map():
                return inner[work](**_address(work.name, run, round), indices=lists[work.over])
            case Repeat():
                return inner[work](run=run, rounds=lists["rounds"], shards=lists["shards"])

    def _task(self, name: str, **given: Any) -> dsl.PipelineTask:
        task = component(name, self._pods.image, self._definition)(**given)
        accelerators = self._pods.accelerators if name == "train" else 1
        set_pod_spec(task, STEPS[name].on_device, self._pods, accelerators)
        return task


def _address(name: str, run: Any, round: Any) -> dict[str, Any]:
    return {"run": run, "round": round} if STEPS[name].by_round else {"run": run}


def _sign(pipeline: Callable[..., None], purpose: str, form: Iterable[Entry], defaults: Mapping[str, Any]) -> None:
    """Give a function the signature and docstring that KFP makes the UI's form from."""
    wanted = [(entry, defaults.get(entry.name, entry.default)) for entry in form]
    parameters = [
        inspect.Parameter(
            entry.name,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
            default=inspect.Parameter.empty if default is None else default,
            annotation=entry.type,
        )
        for entry, default in wanted
    ]
    pipeline.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # inspect reads it
    pipeline.__doc__ = f"{purpose}\n\nArgs:\n" + "\n".join(f"    {entry.name}: {entry.help}." for entry, _ in wanted)

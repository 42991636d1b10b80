"""A step as a container component: the command `unecho step ...`, with its inputs and outputs typed for KFP."""

import json
from collections.abc import Callable
from functools import cache
from typing import Any, Final

from kfp import components, dsl

from ...components.kubeflow_task.entry import RUN_ID
from ...components.kubeflow_task.outputs import Output
from ...components.steps import STEPS
from .definition import Definition

Component = Callable[..., dsl.PipelineTask]
"""What makes a task of a pipeline that is being traced."""
TYPES: Final = {str: "STRING", int: "NUMBER_INTEGER", dict: "STRUCT"}
_PARAMETERS: Final = {"text": "STRING", "list": "LIST"}
_ARTIFACTS: Final = {
    "metrics": "system.Metrics",
    "html": "system.HTML",
    "markdown": "system.Markdown",
    "model": "system.Model",
    "dataset": "system.Dataset",
}


@cache
def component(name: str, image: str, definition: Definition) -> Component:
    """The component of a step of a pipeline, from its definition in KFP's pipeline spec.

    Written down rather than decorated: `kfp.dsl.container_component` wants a Python function for each signature and
    refuses an output called `Output` (see `unecho.components.kubeflow_task.outputs.DECISION`).
    """
    outputs = definition.outputs.get(name, ())
    given = inputs(name, definition)
    spec: dict[str, Any] = {
        "executorLabel": f"exec-{name}",
        "inputDefinitions": {"parameters": {input: {"parameterType": type} for input, type in given.items()}},
    }
    if outputs:
        spec["outputDefinitions"] = _definitions(outputs)
    container = {"image": image, "command": command(name, definition)}
    document = {
        "components": {f"comp-{name}": spec},
        "deploymentSpec": {"executors": {f"exec-{name}": {"container": container}}},
        "pipelineInfo": {"name": name},
        "root": {"dag": {"tasks": {}}},
        "schemaVersion": "2.1.0",
    }
    made: Component = components.load_component_from_text(json.dumps(document))
    return made


def inputs(name: str, definition: Definition) -> dict[str, str]:
    """KFP types of a step's inputs: plan reads the form, every other step its address."""
    if name == "plan":
        return {entry.name: TYPES[entry.type] for entry in definition.form.entries} | {RUN_ID: "STRING"}
    step = STEPS[name]
    by = {"round": step.by_round, "index": step.by_index}
    return {"run": "STRING"} | {number: "NUMBER_INTEGER" for number, has in by.items() if has}


def command(name: str, definition: Definition) -> list[str]:
    """The line that the pod runs; the launcher fills in what stands in braces."""
    words = ["unecho", "step", name]
    if name != "plan":
        for option in inputs(name, definition):
            words += [f"--{option}", f"{{{{$.inputs.parameters['{option}']}}}}"]
    words += ["--kubeflow", "{{$}}"]
    for output in definition.outputs.get(name, ()):
        if not output.is_parameter:
            words += ["--artifact", f"{output.name}={{{{$.outputs.artifacts['{output.name}'].path}}}}"]
    return words


def _definitions(outputs: tuple[Output, ...]) -> dict[str, Any]:
    parameters = {o.name: {"parameterType": _PARAMETERS[o.kind]} for o in outputs if o.is_parameter}
    artifacts = {
        o.name: {"artifactType": {"schemaTitle": _ARTIFACTS[o.kind], "schemaVersion": "0.0.1"}}
        for o in outputs
        if not o.is_parameter
    }
    return {kind: given for kind, given in (("parameters", parameters), ("artifacts", artifacts)) if given}

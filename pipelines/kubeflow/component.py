"""A command of `unecho` as a container component, its inputs and outputs typed for KFP: a step, a whole audit, or a
whole retraining."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from kfp import components, dsl

from ...components.kubeflow_task.entry import RUN_ID, RUN_NAME, Entry
from ...components.kubeflow_task.outputs import WHOLE_AUDIT, WHOLE_RETRAIN, Output
from ...components.steps import STEPS
from .definition import AUDIT, RETRAIN, Definition

Component = Callable[..., dsl.PipelineTask]
"""What makes a task of a pipeline that is being traced."""
_TYPES: Final = {str: "STRING", int: "NUMBER_INTEGER", dict: "STRUCT"}
_PARAMETERS: Final = {"text": "STRING", "list": "LIST"}
_ARTIFACTS: Final = {
    "metrics": "system.Metrics",
    "html": "system.HTML",
    "markdown": "system.Markdown",
    "model": "system.Model",
    "dataset": "system.Dataset",
}
_ADDRESS: Final = (
    Entry("run", str, "the run's address, ROOT/runs/NAME", default=None),
    Entry("round", int, "from 0", default=None),
    Entry("index", int, "of a shard or a part, from 0", default=None),
)
_RUN_ID: Final = Entry(RUN_ID, str, "name of a run that has no other one: the id of the Kubeflow run")
_AUDIT_NAME: Final = Entry(
    RUN_NAME,
    str,
    "at most 48 lower-case letters, digits and dashes; under the same name an audit goes on; "
    "dsl.PIPELINE_JOB_ID_PLACEHOLDER makes one of each run of the pipeline; must be given",
    default=None,
)
"""A task is not told the id of its pipeline's run."""


@dataclass(frozen=True)
class Command:
    """What a component is made of.

    Attributes:
        words: of the command line, less what the launcher is to fill in.
        inputs: None as a default: must be given.
        as_options: whether inputs are options of the command line; else it finds them in the launcher's message.
    """

    name: str
    description: str
    words: tuple[str, ...]
    inputs: tuple[Entry, ...]
    outputs: tuple[Output, ...]
    as_options: bool = False

    @property
    def line(self) -> list[str]:
        """What the pod runs; the launcher fills in what stands in braces."""
        line = list(self.words)
        if self.as_options:
            for entry in self.inputs:
                line += [f"--{entry.name}", f"{{{{$.inputs.parameters['{entry.name}']}}}}"]
        line += ["--kubeflow", "{{$}}"]
        for output in self.outputs:
            if not output.is_parameter:
                line += ["--artifact", f"{output.name}={{{{$.outputs.artifacts['{output.name}'].path}}}}"]
        return line


def audit_command() -> Command:
    """A whole audit as one task."""
    entries = tuple(_AUDIT_NAME if entry.name == RUN_NAME else entry for entry in AUDIT.form)
    return Command("audit", AUDIT.purpose, ("unecho", "audit"), entries, WHOLE_AUDIT)


def retrain_command() -> Command:
    """A whole retraining as one task."""
    return Command("retrain", RETRAIN.purpose, ("unecho", "retrain"), RETRAIN.form, WHOLE_RETRAIN)


def step_command(name: str, definition: Definition) -> Command:
    """The command of a step of a pipeline: plan reads the form, every other step its address."""
    step, words, outputs = STEPS[name], ("unecho", "step", name), definition.outputs.get(name, ())
    description = f"{step.summary[:1].upper()}{step.summary[1:]}."
    if name == "plan":
        return Command(name, description, words, (*definition.form, _RUN_ID), outputs)
    has = {"run": True, "round": step.by_round, "index": step.by_index}
    address = tuple(entry for entry in _ADDRESS if has[entry.name])
    return Command(name, description, words, address, outputs, as_options=True)


@cache
def component(name: str, image: str, definition: Definition) -> Component:
    """The component of a step of a pipeline."""
    start: Component = made(step_command(name, definition), image)
    return start


def retraining(image: str) -> Component:
    """The component of a whole retraining."""
    start: Component = made(retrain_command(), image)
    return start


def made(command: Command, image: str) -> Any:
    """The component, from its definition in KFP's pipeline spec.

    Written down rather than decorated: `kfp.dsl.container_component` wants a Python function for each signature and
    refuses an output called `Output` (see `unecho.components.kubeflow_task.outputs.DECISION`).
    """
    name = command.name
    spec: dict[str, Any] = {
        "executorLabel": f"exec-{name}",
        "inputDefinitions": {"parameters": {entry.name: _parameter(entry) for entry in command.inputs}},
    }
    if command.outputs:
        spec["outputDefinitions"] = _definitions(command.outputs)
    container = {"image": image, "command": command.line}
    document = {
        "components": {f"comp-{name}": spec},
        "deploymentSpec": {"executors": {f"exec-{name}": {"container": container}}},
        "pipelineInfo": {"name": name},
        "root": {"dag": {"tasks": {}}},
        "schemaVersion": "2.1.0",
    }
    return components.load_component_from_text(json.dumps(document))


def _parameter(entry: Entry) -> Mapping[str, Any]:
    typed = {"parameterType": _TYPES[entry.type]}
    return typed if entry.default is None else typed | {"isOptional": True, "defaultValue": entry.default}


def _definitions(outputs: tuple[Output, ...]) -> dict[str, Any]:
    parameters = {o.name: {"parameterType": _PARAMETERS[o.kind]} for o in outputs if o.is_parameter}
    artifacts = {
        o.name: {"artifactType": {"schemaTitle": _ARTIFACTS[o.kind], "schemaVersion": "0.0.1"}}
        for o in outputs
        if not o.is_parameter
    }
    return {kind: given for kind, given in (("parameters", parameters), ("artifacts", artifacts)) if given}

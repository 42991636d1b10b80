"""The steps, a whole audit and a whole retraining, as files that other people's pipelines load."""

import json
from collections.abc import Iterable
from pathlib import Path

from google.protobuf import json_format
from kfp import compiler, components

from ...components.failure import Fatal
from ...components.steps import STEPS
from .component import Command, audit_command, made, retrain_command, step_command
from .definition import IET


def write_components(folder: Path, image: str) -> list[Path]:
    """Write FOLDER/NAME/component.yaml for each, what `kfp.components.load_component_from_file` takes.

    Raises:
        Fatal: a file cannot be written.
    """
    return [_write(folder / command.name / "component.yaml", command, image) for command in commands()]


def commands() -> Iterable[Command]:
    """What there is a file of."""
    return [*(step_command(name, IET) for name in STEPS), audit_command(), retrain_command()]


def _write(path: Path, command: Command, image: str) -> Path:
    """Whole, so that Kubeflow's UI takes the file as a pipeline of one task too."""
    spec = made(command, image).component_spec.to_pipeline_spec()
    spec.root.dag.tasks[command.name].caching_options.Clear()  # what an address holds is no input that KFP sees change
    for component in (spec.root, spec.components[f"comp-{command.name}"]):
        for entry in command.inputs:
            component.input_definitions.parameters[entry.name].description = entry.help
        for output in command.outputs:
            given = component.output_definitions
            (given.parameters if output.is_parameter else given.artifacts)[output.name].description = output.help
    whole = components.load_component_from_text(json.dumps(json_format.MessageToDict(spec)))
    whole.description = command.description
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        compiler.Compiler().compile(whole, str(path))
    except OSError as error:
        raise Fatal(f"{path}: {error.strerror}") from None
    return path

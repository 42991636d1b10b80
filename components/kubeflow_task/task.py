"""A step as a task of a Kubeflow pipeline: the same step, which also hands over what loops and the UI read."""

import json
import math
import os
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from ..failure import Fatal
from ..progress import Progress
from ..run import Record, Run
from ..run.failures import kept_failure
from ..steps import plan, run_step
from .entry import run_of
from .forms import form_of
from .outputs import given


class _Message(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, extra="ignore")


class _Inputs(_Message):
    parameter_values: dict[str, Any] = Field(default_factory=dict)


class _OutputParameter(_Message):
    output_file: Path


class _Artifact(_Message):
    name: str = ""
    uri: str = ""


class _Artifacts(_Message):
    artifacts: list[_Artifact] = Field(min_length=1)


class _Outputs(_Message):
    parameters: dict[str, _OutputParameter] = Field(default_factory=dict)
    artifacts: dict[str, _Artifacts] = Field(default_factory=dict)
    output_file: Path


class Executor(_Message):
    """One execution of a step under Kubeflow Pipelines: its inputs, and the files it answers with.

    Fields are those of the message `ExecutorInput` of KFP's pipeline spec, which a command gets in place of `{{$}}`.
    """

    inputs: _Inputs = Field(default_factory=_Inputs)
    outputs: _Outputs
    paths: dict[str, Path] = Field(default_factory=dict)
    """Of the output artifacts' files, by name, as the launcher says in place of `{{$.outputs.artifacts['x'].path}}`."""

    @classmethod
    def parse(cls, text: str, paths: Mapping[str, str]) -> Self:
        """Read the message.

        Raises:
            Fatal: it is none, so that this is no task of a Kubeflow pipeline.
        """
        try:
            return cls.model_validate(json.loads(text) | {"paths": paths})
        except (ValidationError, ValueError, TypeError) as error:
            raise Fatal(
                f"--kubeflow: not an ExecutorInput of Kubeflow Pipelines: {str(error).splitlines()[0]}"
            ) from None

    def answer(self, given: Mapping[str, Any]) -> None:
        """Write what is asked for of what the step gives. A file is there whole or not at all.

        Args:
            given: by name; a `Given` for an artifact, else a parameter: text as it is, everything else as JSON.
        """
        for name, parameter in self.outputs.parameters.items():
            value = given[name]
            _write(parameter.output_file, (value if isinstance(value, str) else json.dumps(value)).encode())
        said = {}
        for name, output in self.outputs.artifacts.items():
            artifact, content = output.artifacts[0], given[name]
            _write(self.paths[name], content.data)
            metadata = {field: value for field, value in content.metadata.items() if _is_json(value)}
            said[name] = {"artifacts": [{"name": artifact.name, "uri": artifact.uri, "metadata": metadata}]}
        if said:
            _write(self.outputs.output_file, json.dumps({"artifacts": said}).encode())


def _is_json(value: float | int | str) -> bool:
    """NaN and infinity are not; the launcher would refuse the whole message."""
    return not isinstance(value, float) or math.isfinite(value)


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(data)
    os.replace(temporary, path)


def run_planned(executor: Executor, progress: Progress) -> None:
    """Step plan, with the configuration and the address that the form says.

    Raises:
        Fatal: what the same mistake on a command line would say; kept below the run too, where there is one.
    """
    values = executor.inputs.parameter_values
    run, form = run_of(values), form_of(values)

    def work() -> Record:
        config = form.config_of(values)
        progress.note(f"the same by hand: {shlex.join(form.line_of(run, values))}")
        return plan(run, config, progress)

    _run("plan", run, None, None, executor, work)


def run_addressed(
    executor: Executor, name: str, run: Run, round: int | None, index: int | None, progress: Progress
) -> None:
    """Any other step, at its address."""

    def work() -> Record:
        return run_step(name, run, round, index, progress)

    _run(name, run, round, index, executor, work)


def _run(
    name: str, run: Run, round: int | None, index: int | None, executor: Executor, work: Callable[[], Record]
) -> None:
    """KFP's launcher makes every exit status a 1, so the line of a failure must stand where others can read it."""
    with kept_failure(run, name, round, index):
        answer = given(name, run, work())
    executor.answer(answer)

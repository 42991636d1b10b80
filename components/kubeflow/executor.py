"""What a KFP launcher tells a container, and where it looks for what the container gives: ExecutorInput and -Output."""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from unecho.components.failure import Fatal


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

    def answer(self, parameters: Mapping[str, Any], artifacts: Mapping[str, "Given"]) -> None:
        """Write what the step gives. A file is there whole or not at all.

        Args:
            parameters: by name; text as it is, everything else as JSON.
        """
        for name, value in parameters.items():
            _write(
                self.outputs.parameters[name].output_file,
                (value if isinstance(value, str) else json.dumps(value)).encode(),
            )
        said = {}
        for name, given in artifacts.items():
            artifact = self.outputs.artifacts[name].artifacts[0]
            if given.data is not None:
                _write(self.paths[name], given.data)
            metadata = {field: value for field, value in given.metadata.items() if _is_json(value)}
            said[name] = {"artifacts": [{"name": artifact.name, "uri": artifact.uri, "metadata": metadata}]}
        if said:
            _write(self.outputs.output_file, json.dumps({"artifacts": said}).encode())


class Given(BaseModel):
    """What a step gives as an artifact.

    Attributes:
        metadata: shown beside it in the UI; a `system.Metrics` is nothing but this.
        data: its file.
    """

    metadata: Mapping[str, float | int | str] = Field(default_factory=dict)
    data: bytes | None = None


def _is_json(value: float | int | str) -> bool:
    """NaN and infinity are not; the launcher would refuse the whole message."""
    return not isinstance(value, float) or math.isfinite(value)


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(data)
    os.replace(temporary, path)

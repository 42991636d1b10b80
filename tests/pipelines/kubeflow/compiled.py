"""A compiled pipeline, read back as KFP reads it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from unecho.pipelines.commands import main


@dataclass(frozen=True)
class Compiled:
    """A pipeline file.

    Attributes:
        spec: the first document, strictly parsed.
        kubernetes: by executor, what kfp-kubernetes has said.
    """

    text: str
    spec: pipeline_spec_pb2.PipelineSpec
    kubernetes: dict[str, Any]

    def container(self, step: str) -> dict[str, Any]:
        executors = json_format.MessageToDict(self.spec.deployment_spec)["executors"]
        container: dict[str, Any] = executors[f"exec-{step}"]["container"]
        return container


def read(path: Path) -> Compiled:
    """Parse a file; a field that the pipeline spec does not have is an error."""
    text = path.read_text()
    pipeline, platform = yaml.safe_load_all(text)
    spec = json_format.ParseDict(pipeline, pipeline_spec_pb2.PipelineSpec())
    json_format.ParseDict(platform, pipeline_spec_pb2.PlatformSpec())
    return Compiled(text, spec, platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"])


def compiled(folder: Path, *options: str) -> Compiled:
    """What `unecho compile` writes."""
    path = folder / "unecho.yaml"
    assert main(["compile", "--image", "unecho:test", "-o", str(path), *options]) == 0
    return read(path)

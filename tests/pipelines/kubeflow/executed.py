"""A compiled pipeline executed by KFP's own local runner, in containers."""

import builtins
import io
import json
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from kfp import local
from kfp.components import load_component_from_file

from tests.services.containers import Containers


@dataclass(frozen=True)
class Executed:
    """What a run of the pipeline did.

    Attributes:
        failure: what the runner said of the task that failed; None for a pipeline that succeeded.
        log: of all its containers.
        started: the steps whose containers were started, in order, as ("train", 0, 1).
        folder: what the tasks gave.
    """

    failure: str | None
    log: str
    started: list[tuple[Any, ...]]
    folder: Path

    def file(self, task: str, name: str) -> Path:
        """A file that a task at the top level gave."""
        (path,) = self.folder.glob(f"*/{task}/{name}")
        return path

    def metadata(self, task: str, artifact: str, round: int | None = None) -> dict[str, Any]:
        """What a task said of an artifact."""
        inside = "" if round is None else f"for-loop-1-iteration-{round}/"
        (path,) = self.folder.glob(f"*/{inside}{task}/executor_output.json")
        metadata: dict[str, Any] = json.loads(path.read_text())["artifacts"][artifact]["artifacts"][0]["metadata"]
        return metadata


def execute(
    pipeline: Path, form: Mapping[str, Any], environment: Mapping[str, str], containers: Containers, folder: Path
) -> Executed:
    """Run a compiled pipeline to its end, or to where it fails.

    Args:
        environment: of every container, in the place of a Secret.
        folder: an empty one.
    """
    folder.chmod(0o777)  # the image's user is nobody here
    runner = local.DockerRunner(environment=dict(environment), **containers.options)
    local.init(runner, pipeline_root=str(folder), raise_on_error=True)
    before, failure, log = len(containers.started), None, io.StringIO()
    with redirect_stdout(log), pytest.MonkeyPatch.context() as patch:
        patch.setattr(builtins, "print", print)  # put back: two tasks at once leave the runner's own one behind
        try:
            load_component_from_file(str(pipeline))(**form)
        except RuntimeError as error:
            failure = str(error)
    return Executed(failure, log.getvalue(), [_step(words) for words in containers.started[before:]], folder)


def _step(words: list[str]) -> tuple[Any, ...]:
    numbers = [float(words[words.index(option) + 1]) for option in ("--round", "--index") if option in words]
    return (words[2], *(int(number) for number in numbers))

"""A compiled pipeline executed by KFP's own local runner, in containers or, for its loops alone, in this process."""

import builtins
import io
import json
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Protocol

import pytest
from kfp import local
from kfp.components import load_component_from_file

from unecho.components.__main__ import main as step
from unecho.pipelines.commands import main


class Started(Protocol):
    """What starts a task's command: `tests.services.containers`, or `Here`.

    Attributes:
        started: the commands, in order.
        options: of KFP's runner.
    """

    started: list[list[str]]

    @property
    def options(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Executed:
    """What a run of the pipeline did.

    Attributes:
        failure: what the runner said of the task that failed; None for a pipeline that succeeded.
        log: of all its containers.
        started: the steps whose containers were started, in order, as ("train", 0, 1); of another
            command its first word.
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

    def metadata(self, task: str, artifact: str, iteration: int | None = None) -> dict[str, Any]:
        """What a task said of an artifact.

        Args:
            iteration: of the loop over the rounds that were left.
        """
        inside = "" if iteration is None else f"for-loop-*-iteration-{iteration}/"
        (path,) = self.folder.glob(f"*/{inside}{task}/executor_output.json")
        metadata: dict[str, Any] = json.loads(path.read_text())["artifacts"][artifact]["artifacts"][0]["metadata"]
        return metadata


def execute(
    pipeline: Path, form: Mapping[str, Any], environment: Mapping[str, str], containers: Started, folder: Path
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


@contextmanager
def starts_here(folder: Path) -> Iterator[Callable[..., Executed]]:
    """What starts a compiled file with a form, its steps in this process; what they give lies below the folder."""
    before, starts = signal.getsignal(signal.SIGTERM), count(1)

    def start(path: Path, **form: Any) -> Executed:
        given = folder / f"given-{next(starts)}"
        given.mkdir()
        return execute(path, form, {}, here, given)

    with steps_here() as here:
        yield start
    signal.signal(signal.SIGTERM, before)  # a step's command catches it


@dataclass
class Here:
    """In the place of containers: the commands are run in this process."""

    started: list[list[str]] = field(default_factory=list)

    @property
    def options(self) -> dict[str, Any]:
        return {}


class _NoDocker:
    def info(self) -> dict[str, Any]:
        return {}

    def close(self) -> None: ...


@contextmanager
def steps_here() -> Iterator[Here]:
    """KFP's local runner with the commands run in this process, where there are no containers."""
    here = Here()

    def run(client: _NoDocker, image: str, command: list[str], volumes: Any, **options: Any) -> int:
        here.started.append(command)
        if command[:2] == ["unecho", "step"]:
            return step(command[2:])
        return main(command[1:]) if command[0] == "unecho" else subprocess.run(command, check=False).returncode

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("docker.from_env", _NoDocker)
        patch.setattr("kfp.local.docker_task_handler.run_docker_container", run)
        yield here


def _step(words: list[str]) -> tuple[Any, ...]:
    if words[:2] != ["unecho", "step"]:
        return (words[0],)
    numbers = [float(words[words.index(option) + 1]) for option in ("--round", "--index") if option in words]
    return (words[2], *(int(number) for number in numbers))

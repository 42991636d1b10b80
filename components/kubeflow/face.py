"""A step as a task of a Kubeflow pipeline: the same step, which also hands over what loops and the UI read."""

import shlex
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from unecho.components.failure import Fatal
from unecho.components.kubeflow.executor import Executor, Given
from unecho.components.kubeflow.form import config_of, options_of, run_of
from unecho.components.kubeflow.outputs import given
from unecho.components.plan.step import step as plan
from unecho.components.progress import Progress
from unecho.components.run import Record, Run
from unecho.components.run.failures import Failure, forget_failures, note_failure
from unecho.components.steps import run_step


def run_planned(executor: Executor, progress: Progress) -> None:
    """Step plan, with the configuration and the address that the form says.

    Raises:
        Fatal: what the same mistake on a command line would say; kept below the run too, where there is one.
    """
    form = executor.inputs.parameter_values
    run = run_of(form)

    def work() -> Record:
        forget_failures(run)
        config = config_of(form)
        progress.note(f"the same by hand: {_line(run, form)}")
        return plan(run, config)

    _run(Failure(step="plan", line=""), run, executor, work)


def run_addressed(
    executor: Executor, name: str, run: Run, round: int | None, index: int | None, progress: Progress
) -> None:
    """Any other step, at its address."""

    def work() -> Record:
        return run_step(name, run, round, index, progress)

    _run(Failure(step=name, round=round, index=index, line=""), run, executor, work)


def _run(at: Failure, run: Run, executor: Executor, work: Callable[[], Record]) -> None:
    try:
        answer = given(at.step, run, work())
    except Fatal as error:
        _keep(run, at.model_copy(update={"line": str(error)}))
        raise
    artifacts = {name: value for name, value in answer.items() if isinstance(value, Given)}
    executor.answer({name: value for name, value in answer.items() if name not in artifacts}, artifacts)


def _keep(run: Run, failure: Failure) -> None:
    """KFP's launcher makes every exit status a 1, so the line must stand where others can read it."""
    with suppress(Fatal, OSError):  # the store itself is what failed: the line is in the log
        note_failure(run, failure)


def _line(run: Run, form: Mapping[str, Any]) -> str:
    preset, variant, settings = options_of(form)
    words = ["unecho", "step", "plan", "--run", run.url]
    words += ["--preset", preset] if preset else []
    words += ["--variant", variant] if variant else []
    for setting in settings:
        words += ["--set", setting]
    return shlex.join(words)

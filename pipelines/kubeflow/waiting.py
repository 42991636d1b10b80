"""Waiting for a run on Kubeflow, and starting it again where that can help."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from ...components.config import RunConfig
from ...components.failure import FATAL, RETRY, Fatal, Stopped
from ...components.kubeflow_task.entry import ROOT, RUN_NAME
from ...components.kubeflow_task.outputs import given
from ...components.run import Plan, Run
from ...components.run.failures import Failure, failures
from .client import Kubeflow, RunState
from .nodes import Places, StepNode

T = TypeVar("T")

EVERY_S: float = 5.0
"""Between two looks."""
_PATIENCE: Final = 60
"""Looks that may fail one after another before we give up; the run itself goes on."""
_PATIENCE_S: Final = "UNECHO_S3_PATIENCE_S"
_TOLD: Final = ("RUNNING", "SUCCEEDED", "FAILED", "CANCELED")


def finish(
    kubeflow: Kubeflow,
    start: Callable[[int], str],
    form: Mapping[str, Any],
    config: RunConfig,
    again: int,
    pipeline: Path,
    note: Callable[[str], None],
) -> None:
    """Start a run and wait for its end; a failed one is started again under its name.

    Args:
        start: given how often it was started before, starts it and gives the id.
        form: the run's, with its name.
        config: what it says.
        again: how often at most it is started again.
        pipeline: the compiled file.

    Raises:
        Stopped: with the exit status: 1 worth another try, 2 not.
    """
    for before in range(again + 1):
        places = Places(pipeline, _lists(form, config, note))
        run_id = start(before)
        state = wait(kubeflow, run_id, places, note)
        if state.state == "SUCCEEDED":
            return
        if state.state != "FAILED":
            raise Stopped(RETRY, f"{state.state.lower()}: {kubeflow.link(run_id)}")
        reported = reasons(str(form[ROOT]), str(form.get(RUN_NAME) or run_id))
        if reported:
            line = "; ".join(map(str, reported))
            raise Stopped(FATAL, f"failed, and another try cannot help: {line}")
        failed = _failed(places.steps(state.nodes))
        if before < again:
            unknown = " (the store cannot be read from here, so the reason is not known)" if reported is None else ""
            note(f"{failed}; started again under its name{unknown}")
    raise Stopped(RETRY, f"{failed}: {kubeflow.link(run_id)}")


def wait(kubeflow: Kubeflow, run_id: str, places: Places, note: Callable[[str], None]) -> RunState:
    """Look until the run has ended; each step is told when it has started and when it has ended."""
    reported: dict[str, str] = {}
    failed = 0
    try:
        while True:
            try:
                state = kubeflow.state(run_id)
            except OSError as error:
                failed += 1
                if failed > _PATIENCE:
                    raise
                note(str(error))
            else:
                failed = 0
                for step in places.steps(state.nodes):
                    told = step.node.state in _TOLD and not step.is_driver
                    if told and reported.get(step.node.id) != step.node.state:
                        note(f"{step.label}: {step.node.state.lower()}")
                        reported[step.node.id] = step.node.state
                if state.ended:
                    return state
            time.sleep(EVERY_S)
    except KeyboardInterrupt:
        raise Stopped(130, f"no longer waiting; the run goes on: {kubeflow.link(run_id)}") from None


def reasons(root: str, name: str) -> list[Failure] | None:
    """Why steps of the run cannot be helped, as they left it in the store; None where it cannot be read from here.

    KFP itself makes every exit status a 1.
    """
    return _read(lambda: failures(Run.at(root, name)))


def _lists(form: Mapping[str, Any], config: RunConfig, note: Callable[[str], None]) -> Mapping[str, Sequence[int]]:
    """What `plan` will hand to the loops: of a run that goes on, what is left."""
    if name := str(form.get(RUN_NAME) or ""):
        run_plan = Plan.model_construct(config=config)
        found = _read(lambda: given("plan", Run.at(str(form[ROOT]), name), run_plan))
        if found is not None:
            return found
        note("the store cannot be read from here: rounds are counted from the first of this start")
    return {over: range(count) for over, count in config.sizes().items()}


def _read(read: Callable[[], T]) -> T | None:
    """What the run's store says; None where it is out of reach, as one inside the cluster often is, for good."""
    patience = os.environ.get(_PATIENCE_S)
    os.environ[_PATIENCE_S] = patience or "10"
    try:
        return read()
    except (Fatal, OSError):
        return None
    finally:
        if patience is None:
            del os.environ[_PATIENCE_S]


def _failed(steps: Sequence[StepNode]) -> str:
    """That steps failed, in the order in which they started, with what Kubeflow says of them."""
    texts = []
    for step in steps:
        if step.node.state == "FAILED":
            label = f"{step.label} (Kubeflow's driver)" if step.is_driver else step.label
            texts.append(f"{label}: {step.node.error}" if step.node.error else label)
    return f"failed: {'; '.join(texts)}" if texts else "failed"

"""Waiting for a run on Kubeflow, and starting it again where that can help."""

import os
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from ...components.failure import FATAL, RETRY, Fatal, Stopped
from ...components.run import Run
from ...components.run.failures import Failure, failures
from .client import Kubeflow, RunState

EVERY_S: float = 5.0
"""Between two looks."""
_PATIENCE: Final = 60
"""Looks that may fail one after another before we give up; the run itself goes on."""
_PATIENCE_S: Final = "UNECHO_S3_PATIENCE_S"


def finish(
    kubeflow: Kubeflow, start: Callable[[int], str], form: Mapping[str, Any], again: int, note: Callable[[str], None]
) -> None:
    """Start a run and wait for its end; a failed one is started again under its name.

    Args:
        start: given how often it was started before, starts it and gives the id.
        form: the run's, with its name.
        again: how often at most it is started again.

    Raises:
        Stopped: with the exit status: 1 worth another try, 2 not.
    """
    for before in range(again + 1):
        run_id = start(before)
        state = wait(kubeflow, run_id, note)
        if state.state == "SUCCEEDED":
            return
        if state.state != "FAILED":
            raise Stopped(RETRY, f"{state.state.lower()}: {kubeflow.link(run_id)}")
        reported = reasons(str(form["root"]), str(form["run_name"]) or run_id)
        if reported:
            line = "; ".join(f"{_address(failure)}: {failure.line}" for failure in reported)
            raise Stopped(FATAL, f"failed, and another try cannot help: {line}")
        if before < again:
            unknown = " (the store cannot be read from here, so the reason is not known)" if reported is None else ""
            note(f"failed; started again under its name{unknown}")
    raise Stopped(RETRY, f"failed: {kubeflow.link(run_id)}")


def wait(kubeflow: Kubeflow, run_id: str, note: Callable[[str], None]) -> RunState:
    """Look until the run has ended; each change of a task is reported."""
    reported: dict[str, tuple[str, str]] = {}
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
                for id, task in state.tasks.items():
                    if reported.get(id) != task:
                        note(f"{task[0]} {task[1].lower()}")
                reported |= state.tasks
                if state.ended:
                    return state
            time.sleep(EVERY_S)
    except KeyboardInterrupt:
        raise Stopped(130, f"no longer waiting; the run goes on: {kubeflow.link(run_id)}") from None


def reasons(root: str, name: str) -> list[Failure] | None:
    """Why steps of the run cannot be helped, as they left it in the store; None where it cannot be read from here.

    KFP itself makes every exit status a 1.
    """
    patience = os.environ.get(_PATIENCE_S)
    os.environ[_PATIENCE_S] = patience or "10"  # a store inside the cluster is often out of reach for good
    try:
        return failures(Run.at(root, name))
    except (Fatal, OSError):
        return None
    finally:
        if patience is None:
            del os.environ[_PATIENCE_S]


def _address(failure: Failure) -> str:
    return " ".join(str(part) for part in (failure.step, failure.round, failure.index) if part is not None)

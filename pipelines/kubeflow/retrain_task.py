"""A whole retraining as one task on Kubeflow: of our own pipeline, which may recur, or of somebody else's."""

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console

from ...components.failure import Fatal
from ...components.kubeflow_task.outputs import Given, given_release
from ...components.kubeflow_task.retrain_form import POLICY, policy_of, words_of
from ...components.kubeflow_task.task import Executor
from ...components.run.released import ReleasedModel
from ...components.store import open_store
from ..gate.policy import read_policy
from ..retraining.outcome import Outcome


def run_retraining(
    message: str, paths: Mapping[str, str], retrain: Callable[[Sequence[str]], Outcome], console: Console
) -> Outcome:
    """Retrain by what the inputs say, in this process; what is released then is told to the UI.

    Args:
        message: the launcher's, see `Executor`; paths: of the output artifacts' files, by name.
        retrain: given the words of a command line, does it.

    Raises:
        Fatal: what the same mistake on a command line would say.
    """
    executor = Executor.parse(message, paths)
    values = executor.inputs.parameter_values
    with TemporaryDirectory() as place:
        policy, out = Path(place, "gate.json"), Path(place, "gate")
        policy.write_text(json.dumps(policy_of(values)))
        _check(policy)
        words = words_of(values, str(policy), str(out))
        console.print(f"the same by hand, with the policy in a file: {shlex.join(words)}", soft_wrap=True)
        outcome = retrain(words[2:])
        if outcome.is_good:
            executor.answer(_given(outcome, out / "gate.md"))
    return outcome


def _check(policy: Path) -> None:
    try:
        read_policy(policy)
    except Fatal as error:
        raise Fatal(f"{str(error).replace(str(policy), POLICY)} ({POLICY} in the form)") from None


def _given(outcome: Outcome, checks: Path) -> dict[str, Any]:
    root, _, name = outcome.model.rpartition("/models/")
    model = ReleasedModel(open_store(root), name)
    shown = checks.read_bytes() if checks.exists() else f"{outcome.line}\n".encode()
    return {
        "outcome": outcome.outcome,
        "gate": Given(data=shown),
        **given_release(model.store, model.load(outcome.number)),
    }

"""A whole audit as one task of somebody's pipeline on Kubeflow."""

import shlex
from argparse import Namespace
from collections.abc import Mapping

from rich.console import Console

from ...components.kubeflow_task.audit_form import AUDIT
from ...components.kubeflow_task.entry import run_of
from ...components.kubeflow_task.outputs import given
from ...components.kubeflow_task.task import Executor
from ...components.run import ReportRecord
from ...components.run.failures import kept_failure
from ..commands.looped import run_to_the_end
from ..loop import audit


def run_audit(message: str, paths: Mapping[str, str], console: Console) -> None:
    """Audit what the inputs say, in this process; the verdict is an output, and no exit status.

    Args:
        message: the launcher's, see `Executor`; paths: of the output artifacts' files, by name.

    Raises:
        Fatal: what the same mistake on a command line would say; kept below the run too, where there is one.
    """
    executor = Executor.parse(message, paths)
    values = executor.inputs.parameter_values
    run = run_of(values)
    with kept_failure(run, "plan"):
        config = AUDIT.config_of(values)
    console.print(f"the same by hand: {shlex.join(AUDIT.line_of(run, values))}", soft_wrap=True)
    run_to_the_end(audit, Namespace(engine="local"), run, config, console)
    executor.answer(given("evaluate", run, run.load(ReportRecord, 0)))

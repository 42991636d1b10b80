"""The pod's entry: `unecho step NAME --run ROOT/runs/NAME [--round R] [--index K]`."""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence

from .child import lines_every_s, stop_with_parent
from .config.command_line import add_config_arguments, config_from
from .failure import status_of
from .kubeflow_task.options import add_kubeflow_arguments
from .log import configure_logging
from .openmp import let_waiting_threads_sleep
from .progress import Lines, step_label
from .run import Run
from .run.failures import kept_failure
from .steps import STEPS, plan, run_step


def main(argv: Sequence[str] | None = None) -> int:
    """Run one step.

    Returns:
        The exit status: 0 done, 2 trying again cannot help, 143 stopped after a checkpoint, else 1.
    """
    let_waiting_threads_sleep()
    return status_of(lambda: _main(argv))


def _main(argv: Sequence[str] | None) -> None:
    parser = _parser()
    arguments = parser.parse_args(argv)
    configure_logging()
    stop_with_parent()
    if arguments.kubeflow is not None:
        _on_kubeflow(arguments)
        return
    if arguments.run is None:
        parser.error("the following arguments are required: --run")
    run = Run.parse(arguments.run)
    if arguments.step == "plan":
        plan(run, config_from(arguments), _lines("plan", None, None))
        return
    round, index = (getattr(arguments, name, None) for name in ("round", "index"))
    with kept_failure(run, arguments.step, round, index):
        run_step(arguments.step, run, round, index, _lines(arguments.step, round, index))


def _on_kubeflow(arguments: Namespace) -> None:
    from .kubeflow_task.task import (
        Executor,  # only where it is asked for
        run_addressed,
        run_planned,
    )

    executor = Executor.parse(arguments.kubeflow, dict(arguments.artifact))
    if arguments.step == "plan":
        run_planned(executor, _lines("plan", None, None))
        return
    round, index = (getattr(arguments, name, None) for name in ("round", "index"))
    run = Run.parse(arguments.run)
    run_addressed(executor, arguments.step, run, round, index, _lines(arguments.step, round, index))


def _lines(step: str, round: int | None, index: int | None) -> Lines:
    return Lines(step_label(step, round, index), lines_every_s(), step=step, round=round, index=index)


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="unecho step", description="Run one step of a run at its address.")
    steps = parser.add_subparsers(dest="step", required=True, metavar="NAME")
    for step in STEPS.values():
        sub = steps.add_parser(step.name, help=step.summary, description=step.summary)
        required = step.name != "plan"  # on Kubeflow a form says where the run is
        sub.add_argument("--run", required=required, metavar="ROOT/runs/NAME", help="directory or s3://bucket/prefix")
        if step.by_round:
            sub.add_argument("--round", type=whole_number, required=True, help="round, from 0")
        if step.by_index:
            sub.add_argument("--index", type=whole_number, required=True, help="shard or part, from 0")
        if step.name == "plan":
            add_config_arguments(sub)
        add_kubeflow_arguments(sub)
    return parser


def whole_number(text: str) -> int:
    """In a list made by a Kubeflow task numbers may come as 0.0."""
    try:
        return int(text)
    except ValueError:
        number = float(text)
        if not number.is_integer():
            raise ValueError from None
        return int(number)


if __name__ == "__main__":
    sys.exit(main())

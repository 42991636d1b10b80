"""unecho gate: may a model be released?"""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import Final

from rich.console import Console

from ...components.failure import DONE, Fatal
from ...components.run import Run
from ...components.run.released import ReleasedModel
from ..gate.answer import gate_of
from ..gate.policy import read_policy
from ..gate.rival import Rival, of_run, released_as
from ..gate.writing import tell, write_answer
from .options import add_gate_arguments

REFUSED: Final = 1
"""The exit status of a gate that is not passed."""


def main(argv: Sequence[str]) -> int:
    """Compare a report with a policy, and write the answer for people and for CI systems.

    Returns:
        The exit status: 0 passed, 1 not.
    """
    arguments = parser().parse_args(argv)
    policy = read_policy(arguments.policy)
    run = Run.parse(arguments.run)
    if (asked := policy.policy.compares) and not (arguments.model or arguments.against):
        raise Fatal(f"{arguments.policy}: {asked}: beside which model? give --model NAME or --against RUN")
    gate = gate_of(run, policy, _rival(run, arguments))
    write_answer(gate, arguments.out)
    if arguments.json:
        print(gate.model_dump_json(indent=1))
    else:
        tell(Console(highlight=False, markup=False), gate)
    return DONE if gate.passed else REFUSED


def parser() -> ArgumentParser:
    """The command's options."""
    options = ArgumentParser(
        prog="unecho gate",
        description="Compare the report of a finished run, or of an audit, with the thresholds of a policy: the "
        "verdict, near-copies beside their floor, quality beside real images and beside the model now released.",
        epilog="Exit status: 0 passed, 1 not passed, 2 a mistake, which one line names.",
    )
    options.add_argument("run", metavar="RUN", help="ROOT/runs/NAME")
    add_gate_arguments(options)
    rival = options.add_mutually_exclusive_group()
    rival.add_argument("--model", metavar="NAME", help="compared with what is released now as NAME, at RUN's root")
    rival.add_argument("--against", metavar="RUN", help="compared with this run or audit")
    options.add_argument("--json", action="store_true", help="gate.json on standard output, and nothing else")
    return options


def _rival(run: Run, arguments: Namespace) -> Rival:
    if arguments.model:
        return released_as(ReleasedModel(run.store, arguments.model))
    return of_run(Run.parse(arguments.against)) if arguments.against else Rival()

"""The command line: one module a command, imported when it is called."""

import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence
from importlib import import_module
from typing import Final

from ...components.failure import status_of
from ...components.openmp import let_waiting_threads_sleep
from ...components.run.records import code_version

COMMANDS: Final = {
    "run": "train, redistribute, average, sample and report, to the end",
    "audit": "does a model that is there echo? any diffusers folder, images, a run",
    "plan": "what a run would do: steps, visits, bytes; nothing is written",
    "status": "how a run stands: rounds, shards, pods, what they wait for, time left",
    "presets": "the presets, or every field of the configuration",
    "ls": "the runs and data sets of a root, or all that a run holds",
    "report": "finished reports beside each other: before and after, a run and its audits",
    "gate": "may a model be released? its report beside the thresholds of a policy",
    "compare": "variants beside each other: memorization against quality, over seeds",
    "classifier": "features for the quality figures, learned from the labels of the data",
    "descriptor": "a copy descriptor, learned from the data, and what it finds beside pixels",
    "base": "a small text-to-image base model, from captioned images and nothing else",
    "pull": "the model and the report of a finished run, into a directory",
    "promote": "release a finished run's model under a name, on record",
    "rollback": "what a name stood for before, released again",
    "retrain": "train on the data as they are now; released if the gate is passed",
    "released": "what each name stands for, since when, by whom, and its history",
    "forget": "deletion requests: samples that no further data set holds, and what they cost",
    "gc": "what killed steps have left over; with --delete it goes",
    "compile": "the pipeline for Kubeflow, as a file to upload",
    "submit": "start a run on Kubeflow, and wait for it if asked",
    "step": "one step of a run at its address, as a pod runs it",
}


def main(argv: Sequence[str] | None = None) -> int:
    """`unecho COMMAND ...`.

    Returns:
        The exit status: 0 done, 2 trying again cannot help, 130 or 143 stopped after a checkpoint; of `audit` also 3
        it echoes, 4 undecided; of `gate` and `retrain` 1 not passed, of `promote`, `rollback` and `retrain` another
        job was first; else 1.
    """
    let_waiting_threads_sleep()
    argv = list(sys.argv[1:] if argv is None else argv)
    listing = "\n".join(f"  {name:<11}{says}" for name, says in COMMANDS.items())
    parser = ArgumentParser(
        prog="unecho",
        formatter_class=RawDescriptionHelpFormatter,
        description="Trains diffusion models that do not echo their training images (IET-AGC+).",
        epilog=f"commands:\n{listing}\n\n'unecho COMMAND --help' says more.",
    )
    parser.add_argument("--version", action="version", version=f"unecho {code_version()}")
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND")
    arguments = parser.parse_args(argv[:1])
    if arguments.command == "step":  # the pod's entry, without anything of the engines
        return int(import_module("unecho.components.__main__").main(argv[1:]))
    command = import_module(f"unecho.pipelines.commands.{arguments.command}")
    return status_of(lambda: command.main(argv[1:]))

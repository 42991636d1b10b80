"""unecho run: the whole of it."""

from argparse import ArgumentParser
from collections.abc import Sequence

from rich.console import Console

from ...components.config import RunConfig
from ...components.config.command_line import add_config_arguments, config_from
from ...components.config.resolve import variant_slug
from ...components.run import ReportRecord, Run
from ..loop import iet
from .looped import add_engine_arguments, run_to_the_end, tell_end
from .options import add_root_argument, refuse_audit


def main(argv: Sequence[str]) -> None:
    """Run to the end, or go on where an earlier start of the same command ended."""
    arguments = parser().parse_args(argv)
    config = config_from(arguments)
    refuse_audit(config)
    run = Run.at(arguments.root, arguments.name or default_name(config))
    console = Console(highlight=False, markup=False)
    run_to_the_end(iet, arguments, run, config, console)
    tell_end(console, run, run.load(ReportRecord, run.last_model(config).round))


def parser() -> ArgumentParser:
    """The command's options."""
    options = ArgumentParser(
        prog="unecho run",
        description="Train, redistribute, average, sample and report. The same command goes on where it was stopped.",
    )
    add_root_argument(options)
    options.add_argument("--name", help="name of the run (default: preset, variant and seed)")
    add_engine_arguments(options)
    add_config_arguments(options)
    return options


def default_name(config: RunConfig) -> str:
    """preset-variant-seed, in letters that a Kubernetes object may have."""
    return f"{config.preset or 'run'}-{variant_slug(config.variant)}-{config.seed}"

"""unecho run: the whole of it."""

from argparse import ArgumentParser
from collections.abc import Sequence

from rich.console import Console

from components.config import RunConfig
from components.config.arguments import add_config_arguments, config_from
from components.failure import Stopped
from components.run import ReportRecord, Run
from pipelines.display import Display
from pipelines.local import Local
from pipelines.loop import iet


def main(argv: Sequence[str]) -> None:
    """Run to the end, or go on where an earlier start of the same command ended."""
    arguments = _parser().parse_args(argv)
    config = config_from(arguments)
    run = Run.at(arguments.root, arguments.name or default_name(config))
    console = Console()
    console.print(f"run {run.url}", highlight=False, markup=False, soft_wrap=True)
    try:
        with Display(console) as display:
            iet(Local(run, config, display))
    except (KeyboardInterrupt, Stopped) as stop:
        status = stop.status if isinstance(stop, Stopped) else 130
        raise Stopped(status, "stopped; everything done so far is kept, the same command goes on from here") from None
    report = run.load(ReportRecord, run.last_model(config).round)
    show(console, run, report)


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="unecho run",
        description="Train, redistribute, average, sample and report. The same command goes on where it was stopped.",
    )
    parser.add_argument("--root", default="unecho", help="directory or s3://bucket/prefix (default: ./unecho)")
    parser.add_argument("--name", help="name of the run (default: preset, variant and seed)")
    add_config_arguments(parser)
    return parser


def default_name(config: RunConfig) -> str:
    """preset-variant-seed, in letters that a Kubernetes object may have."""
    return f"{config.preset or 'run'}-{config.variant.replace('+', '-plus')}-{config.seed}"


def show(console: Console, run: Run, report: ReportRecord) -> None:
    """The final table, and where the report and the model are."""

"""What a command does that runs a loop to its end: on which engine, what is said on the way, and what at the end."""

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from ...components.config import RunConfig
from ...components.failure import Stopped
from ...components.log import configure_logging, emit, is_json
from ...components.report.figures import load_figures
from ...components.report.sampling import sampling_lines
from ...components.report.tables import aligned, beside_table, figure_table, similarity_table
from ...components.report.wording import pixels_alone
from ...components.run import DatasetRecord, ReportRecord, Run
from ...components.store.directory import DirectoryStore
from ..accelerators import Seats, gpus_of, process_count
from ..after_prepare import AfterPrepare
from ..display import Display
from ..forecast import warnings_of
from ..local import Local
from ..loop import Engine
from ..processes import Processes
from .options import add_cluster_arguments


def add_engine_arguments(options: ArgumentParser) -> None:
    """Add --engine, --namespace and --context."""
    options.add_argument(
        "--engine", choices=("local", "jobs"), default="local", help="here, or as Jobs of a Kubernetes cluster"
    )
    add_cluster_arguments(options)


def run_to_the_end(
    loop: Callable[[Engine], None], arguments: Namespace, run: Run, config: RunConfig, console: Console
) -> None:
    """Run a loop, or go on where an earlier start of the same command ended.

    Args:
        arguments: of `add_engine_arguments`.

    Raises:
        Stopped: it was asked to.
    """
    configure_logging()
    if is_json():
        emit(f"run {run.url}", run=run.url)
    else:
        console.print(f"run {run.url}", soft_wrap=True)
    try:
        with Display(console) as display:
            engine = _engine(arguments, run, config, display)
            loop(AfterPrepare(engine, lambda: _warn(run, config, display)))
    except (KeyboardInterrupt, Stopped) as stop:
        status = stop.status if isinstance(stop, Stopped) else 130
        raise Stopped(status, "stopped; what is done is kept, the same command goes on from here") from None


def tell_end(console: Console, run: Run, report: ReportRecord) -> None:
    """The final table, and where the report and the model are; one line where machines read."""
    if is_json():
        place = run.store.address(report.objects["report.html"].key)
        model = run.store.address(report.model_folder) if report.model_folder else None
        emit("done", run=run.url, report=place, model=model, headline=report.headline)
    else:
        show(console, run, report)


def _warn(run: Run, config: RunConfig, display: Display) -> None:
    """Say what `unecho plan` warns of."""
    dataset = run.load(DatasetRecord)
    counts = dataset.train_samples, dataset.held_out_samples, dataset.generated_samples
    alone = pixels_alone(config.model_dump(mode="json"), dataset.resolution)
    for warning in [*warnings_of(config, *counts), *([alone] if alone else [])]:
        display.warn(warning)


def _engine(arguments: Namespace, run: Run, config: RunConfig, display: Display) -> Engine:
    if arguments.engine == "local":
        gpus = gpus_of(config)
        if (count := process_count(config, gpus)) == 1:
            return Local(run, config, display)
        return Processes(run, config, display, Seats(count, gpus))
    from ..jobs.cluster import connect  # takes half a second, and not everybody has a cluster
    from ..jobs.engine import Jobs

    return Jobs(run, config, display, connect(arguments.context, arguments.namespace))


def show(console: Console, run: Run, report: ReportRecord) -> None:
    """The final table, and where the report and the model are."""
    figures = load_figures(run, report)
    model = _place(run, report.model_folder) if report.model_folder else None
    console.print()
    on_descriptor = similarity_table(figures.descriptor) if figures.descriptor else None
    for table in (figure_table(figures), beside_table(figures), on_descriptor):
        if table is not None:
            for line in aligned(table):
                console.print(line)
            console.print()
    console.print(f"{figures.headline.title}. {figures.headline.sentence}")
    console.print(figures.headline.quality)
    if figures.headline.smoke:
        console.print(f"This is a smoke run: {figures.headline.smoke}.")
    console.print()
    console.print(f"report  {_place(run, report.objects['report.html'].key)}", soft_wrap=True)
    if model:
        console.print(f"model   {model}", soft_wrap=True)
    if not isinstance(run.store, DirectoryStore):
        what = "both" if model else "it"
        console.print()
        console.print(f"unecho pull {run.url} DIR  # writes {what} to a directory", soft_wrap=True)
    elif model:
        console.print()
        for line in sampling_lines(model, run.config()):
            console.print(line, soft_wrap=True)


def _place(run: Run, key: str) -> str:
    """A path that the user can open, relative where that is shorter, or an address."""
    if not isinstance(run.store, DirectoryStore):
        return run.store.address(key)
    path = run.store.path(key)
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)

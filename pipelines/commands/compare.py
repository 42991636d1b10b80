"""unecho compare: variants beside each other."""

import os
import shlex
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from ...components.config import RunConfig
from ...components.config.command_line import add_config_arguments
from ...components.config.counts import check_counts, planned_visits, shard_sizes
from ...components.config.resolve import given_fields, merge
from ...components.data import Dataset
from ...components.data.prepare import packed
from ...components.failure import FATAL, RETRY, Fatal, Stopped
from ...components.progress import Lines
from ...components.report.tables import aligned
from ...components.report.wording import percent
from ...components.run import DatasetRecord
from ...components.run.address import check_name
from ...components.store import Store, open_store
from ..comparison.arms import Arm, Entry, arms_of_file, check_arms, entries, variant_arms
from ..comparison.kept_classifier import can_write_onnx, kept_classifier
from ..comparison.processes import Ended, start_all
from ..comparison.results import Result, result_of
from ..comparison.writing import write
from ..units import duration
from .options import add_cluster_arguments, add_root_argument


def main(argv: Sequence[str]) -> None:
    """Run every arm with every seed, or go on where an earlier start of the same command ended; then compare."""
    arguments = parser().parse_args(argv)
    arms = [*variant_arms(arguments.variants), *(arms_of_file(arguments.arms) if arguments.arms else [])]
    check_arms(arms)
    if arguments.seeds < 1:
        raise Fatal(f"--seeds: {arguments.seeds}: at least 1")
    if arguments.parallel is not None and arguments.parallel < 1:
        raise Fatal(f"--parallel: {arguments.parallel}: at least 1")
    if arguments.engine == "jobs":
        from ..jobs.cluster import connect  # takes half a second, and not everybody has a cluster

        connect(arguments.context, arguments.namespace)  # one line now, not one in each run's log
    console = Console(highlight=False, markup=False)
    store = open_store(arguments.root)
    given = given_fields(arguments.config, tuple(arguments.set))
    name = arguments.name or arguments.preset or given.get("preset") or "compare"
    check_name(name)
    every = entries(store, name, arms, arguments.seeds, arguments.preset, given)
    dataset = _prepare(store, every[0].config, console)
    if not arguments.no_classifier and every[0].config.evaluate.features == RunConfig().evaluate.features:
        given = _with_classifier(store, every[0].config, given, console)
        every = entries(store, name, arms, arguments.seeds, arguments.preset, given)
    notes = _checked(every, dataset)
    for note in notes:
        console.print(f"note: {note}")

    # runs
    done = {entry.run.name: found for entry in every if (found := result_of(entry))}
    left = [entry for entry in every if entry.run.name not in done]
    _check_one_dataset(every, dataset)
    folder = arguments.out or Path(f"compare-{name}")
    parallel = arguments.parallel or _at_once(every[0].config, arguments.engine)
    console.print(f"{len(every)} runs, {len(done)} done before; {min(parallel, max(1, len(left)))} at a time")
    if left:
        console.print(f"logs in {folder / 'runs'}", soft_wrap=True)
    failed: list[Ended] = []
    try:
        failed = start_all(
            left, folder / "runs", parallel, _options(arguments), lambda e, s: _report_done(console, e, s)
        )
    except (KeyboardInterrupt, Stopped) as stop:
        status = stop.status if isinstance(stop, Stopped) else 130
        raise Stopped(status, "stopped; what is done is kept, the same command goes on from here") from None
    finally:
        results = [found for entry in every if (found := done.get(entry.run.name) or result_of(entry))]
        _check_one_dataset(every, dataset)
        if results:
            _show(console, folder, name, argv, arms, every, results, notes)
    for ended in failed:
        console.print(f"{ended.entry.run.name}: ended with status {ended.status}: {ended.line}", soft_wrap=True)
    if failed:
        line = f"{len(failed)} of {len(every)} runs failed, the others are compared; the same command goes on from here"
        if all(ended.status == FATAL for ended in failed):
            raise Fatal(line)
        raise Stopped(RETRY, line)


def parser() -> ArgumentParser:
    """The command's options."""
    options = ArgumentParser(
        prog="unecho compare",
        description="Run variants, and arms of your own, with the same data, seeds and planned sample visits; then "
        "write tables, a plot and a page of memorization against quality. The same command goes on where it was "
        "stopped. A classifier of the data's labels is trained first, as a second judge of quality.",
    )
    options.add_argument(
        "--variants", default="all", metavar="NAME,...", help="variants, or all (default); '' for none"
    )
    options.add_argument("--arms", type=Path, metavar="FILE", help="YAML: a name each, below it variant and fields")
    options.add_argument("--seeds", type=int, default=3, metavar="N", help="seeds 0 to N-1 (default: 3)")
    add_root_argument(options)
    options.add_argument("--name", help="what the runs' names begin with (default: the preset)")
    options.add_argument(
        "--out", type=Path, metavar="DIR", help="for tables, plots, page, logs (default: compare-NAME)"
    )
    options.add_argument("--parallel", type=int, metavar="N", help="runs at a time (default: CPU cores over threads)")
    options.add_argument("--no-classifier", action="store_true", help="judge quality by evaluate.features alone")
    options.add_argument("--engine", choices=("local", "jobs"), default="local", help="as for unecho run")
    add_cluster_arguments(options)
    add_config_arguments(options, variant=False)
    return options


def _prepare(store: Store, config: RunConfig, console: Console) -> Dataset:
    """Pack the images once, before runs do it side by side."""
    manifest, _ = packed(store, config.data, config.execution.workers, Lines("prepare"))
    dataset = Dataset.open(store, manifest.digest)
    console.print(
        f"{len(dataset.train_rows):,} training and {len(dataset.held_out_rows):,} held-out images of "
        f"{dataset.resolution} px"
    )
    return dataset


def _with_classifier(store: Store, config: RunConfig, given: dict[str, Any], console: Console) -> dict[str, Any]:
    """The fields with a classifier's features as a second judge, where one can be had."""
    if not can_write_onnx():
        console.print("note: quality is judged by pixels alone: install unecho[classifier] for a classifier's features")
        return given
    address = kept_classifier(store, config, Lines("classifier"))
    if address is None:
        console.print("note: quality is judged by pixels alone: the images have no two classes to learn features from")
        return given
    features = [*config.evaluate.features, "onnx"]
    return merge(given, {"evaluate": {"features": features, "onnx_model": address}})


def _checked(every: Sequence[Entry], dataset: Dataset) -> list[str]:
    """What a reader must know: arms that were not given the same work.

    Raises:
        Fatal: an arm's fields do not fit the data.
    """
    training, visits = len(dataset.train_rows), {}
    for entry in every:
        try:
            check_counts(entry.config, training, len(dataset.held_out_rows))
        except Fatal as error:
            raise Fatal(f"arm {entry.arm.name}: {error}") from None
        visits[entry.arm.name] = planned_visits(entry.config, shard_sizes(entry.config, training))
    first, most = next(iter(visits.items()))
    return [
        f"{name} is planned with {count:,} sample visits, {first} with {most:,}: they are not compared alike"
        for name, count in visits.items()
        if abs(count - most) > 0.02 * most
    ]


def _check_one_dataset(every: Sequence[Entry], dataset: Dataset) -> None:
    """Whether all arms train, or have trained, on the same images.

    Raises:
        Fatal: they do not; names the arm or the run.
    """
    first = every[0]
    for entry in every:
        kept = entry.config.data.model_copy(update={"chunk_mib": first.config.data.chunk_mib})
        if kept != first.config.data:
            raise Fatal(
                f"arm {entry.arm.name}: its section data is not that of arm {first.arm.name}: arms are compared on one "
                "data set: give such fields with --set, for all"
            )
        found = entry.run.find(DatasetRecord)
        if found is not None and found.digest != dataset.digest:
            raise Fatal(
                f"{entry.run.url}: trains on data set {found.digest[:16]}..., the others on {dataset.digest[:16]}...: "
                "the images have changed since it was started: choose another --name"
            )


def _at_once(config: RunConfig, engine: str) -> int:
    """A core for each thread; one coordinator at a time on a cluster, which has its own parallelism."""
    return 1 if engine == "jobs" else max(1, (os.cpu_count() or 1) // config.threads)


def _options(arguments: Namespace) -> list[str]:
    options = ["--engine", arguments.engine]
    for option in ("namespace", "context"):
        if value := getattr(arguments, option):
            options += [f"--{option}", value]
    return options


def _report_done(console: Console, entry: Entry, seconds: float) -> None:
    found = result_of(entry)
    assert found is not None  # the run ended well
    near = next(m for m in found.figures.memorization if m.measure == "mq" and m.aware)
    floor = f" (floor {percent(near.floor.share)})" if near.floor else ""
    quality = f", Frechet {found.figures.quality.frechet:.3g}" if found.figures.quality else ""
    console.print(
        f"{entry.arm.name}, seed {entry.seed}: {duration(seconds)}; "
        f"MQ<{near.threshold:g} {percent(near.generated.share)}{floor}{quality}"
    )


def _show(
    console: Console,
    folder: Path,
    name: str,
    argv: Sequence[str],
    arms: Sequence[Arm],
    every: Sequence[Entry],
    results: Sequence[Result],
    notes: Sequence[str],
) -> None:
    finished = {result.entry.run.name for result in results}
    missing = [entry.run.name for entry in every if entry.run.name not in finished]
    command = f"unecho compare {shlex.join(argv)}"
    tables = write(folder, f"{name}: memorization against quality", command, arms, results, missing, notes)
    console.print()
    for table in tables:
        for line in (table.title, "", *aligned(table), ""):
            console.print(line, soft_wrap=True)
    if missing:
        console.print(f"{len(missing)} of {len(every)} runs are not finished")
    console.print(f"page    {folder / 'compare.html'}", soft_wrap=True)
    console.print(f"tables  {folder / 'compare.md'}", soft_wrap=True)

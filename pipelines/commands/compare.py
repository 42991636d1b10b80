"""unecho compare: variants beside each other."""

import shlex
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from ...components.config import RunConfig
from ...components.config.command_line import add_config_arguments
from ...components.config.counts import check_counts, planned_visits, shard_sizes
from ...components.config.fields import flat_fields
from ...components.config.resolve import given_fields, merge
from ...components.data import Dataset
from ...components.data.forgotten import Numbered
from ...components.data.prepare import packed
from ...components.failure import FATAL, Fatal
from ...components.progress import Lines
from ...components.run import DatasetRecord
from ...components.run.address import check_name
from ...components.store import Store, open_store
from ..comparison.again import audits_of, finished_runs, mark_of
from ..comparison.arms import Arm, Entry, arms_of_file, check_arms, entries, forgotten_by, variant_arms
from ..comparison.kept_classifier import can_write_onnx, kept_classifier
from ..comparison.processes import Ended, training
from ..comparison.results import result_of
from .compared import Work, check_one_dataset, to_the_end
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
    given = given_fields(arguments.config, tuple(arguments.set))
    name = arguments.name or arguments.preset or given.get("preset") or "compare"
    check_name(name)
    work = (_again if arguments.again else _trained)(arguments, name, arms, given, console)
    for note in work.notes:
        console.print(f"note: {note}")
    to_the_end(work, arguments, arms, f"unecho compare {shlex.join(argv)}", console)


def _trained(arguments: Namespace, name: str, arms: Sequence[Arm], given: dict[str, Any], console: Console) -> Work:
    """Every arm is trained with every seed."""
    store = open_store(arguments.root)
    every = entries(store, name, arms, arguments.seeds, arguments.preset, given)
    forgotten = forgotten_by(store, every)
    dataset = _prepare(store, every[0].config, forgotten, console)
    if not arguments.no_classifier and every[0].config.evaluate.features == RunConfig().evaluate.features:
        given = _with_classifier(store, every[0].config, forgotten, given, console)
        every = entries(store, name, arms, arguments.seeds, arguments.preset, given)
    return Work(
        what="runs",
        title=f"{name}: memorization against quality",
        starts=[training(entry) for entry in every],
        result_of=result_of,
        dataset=dataset.digest,
        folder=arguments.out or Path(f"compare-{name}"),
        notes=_checked(every, dataset),
    )


def _again(arguments: Namespace, name: str, arms: Sequence[Arm], given: dict[str, Any], console: Console) -> Work:
    """Every run that is finished is audited.

    Raises:
        Fatal: none is.
    """
    finished, rest = finished_runs(open_store(arguments.root), name, arms, arguments.seeds)
    if not finished:
        raise Fatal(f"--again: {rest[0].url}: is not finished, nor is another run of {name}: compare them first")
    audits = audits_of(finished, given)
    of = {audit.entry.run.name: audit for audit in audits}
    dataset = finished[0].entry.run.load(DatasetRecord).digest
    check_one_dataset([result.entry for result in finished], dataset)
    console.print(f"{len(finished)} finished runs of {name} are audited again")
    set_otherwise = ", ".join(f"{field}={value}" for field, value in flat_fields(given).items())
    return Work(
        what="audits",
        title=f"{name}, audited again: memorization against quality",
        starts=[audit.start for audit in audits],
        result_of=lambda entry: of[entry.run.name].result(),
        dataset=dataset,
        folder=arguments.out or Path(f"compare-{name}-again-{mark_of(given)}"),
        notes=[
            f"audits: the models of finished runs, sampled and measured again with {set_otherwise or 'what they had'}; "
            "visits and seconds are those of their training"
        ],
        left_out=[Ended(run.name, FATAL, "is not finished: without --again it goes on") for run in rest],
        again=given,
    )


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
        "--out",
        type=Path,
        metavar="DIR",
        help="for tables, plots, page, logs (default: compare-NAME, or compare-NAME-again-...)",
    )
    options.add_argument(
        "--parallel", type=int, metavar="N", help="runs at a time (default: one a GPU, else CPU cores over threads)"
    )
    options.add_argument("--no-classifier", action="store_true", help="judge quality by evaluate.features alone")
    options.add_argument(
        "--again",
        action="store_true",
        help="train nothing: sample and measure the finished runs of a comparison again, under its --variants, --arms, "
        "--seeds and --name or --preset, by fields of sample, evaluate, report and execution; in a folder of their own",
    )
    options.add_argument("--engine", choices=("local", "jobs"), default="local", help="as for unecho run")
    add_cluster_arguments(options)
    add_config_arguments(options, variant=False)
    return options


def _prepare(store: Store, config: RunConfig, forgotten: Sequence[Numbered], console: Console) -> Dataset:
    """Pack the images once, before runs do it side by side."""
    manifest, _ = packed(store, config.data, config.execution.workers, Lines("prepare"), forgotten)
    dataset = Dataset.open(store, manifest.digest)
    console.print(
        f"{len(dataset.train_rows):,} training and {len(dataset.held_out_rows):,} held-out images of "
        f"{dataset.resolution} px"
    )
    return dataset


def _with_classifier(
    store: Store, config: RunConfig, forgotten: Sequence[Numbered], given: dict[str, Any], console: Console
) -> dict[str, Any]:
    """The fields with a classifier's features as a second judge, where one can be had."""
    if not can_write_onnx():
        console.print("note: quality is judged by pixels alone: install unecho[classifier] for a classifier's features")
        return given
    address = kept_classifier(store, config, Lines("classifier"), forgotten)
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

"""What a comparison does whose runs, or audits, are known: start what is left, and compare what has ended."""

import os
from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from ...components.config import RunConfig
from ...components.failure import FATAL, RETRY, Fatal, Stopped
from ...components.report.tables import aligned
from ...components.report.wording import percent
from ...components.run import DatasetRecord
from ..accelerators import gpus_of
from ..comparison.arms import Arm, Entry
from ..comparison.processes import Ended, Start, start_all
from ..comparison.results import Result
from ..comparison.writing import write
from ..units import duration


@dataclass(frozen=True)
class Work:
    """What is run to its end, and compared.

    Attributes:
        what: "runs" or "audits".
        starts: of every one.
        result_of: what one of them has found, or None where it has not ended.
        dataset: digest of the one data set.
        folder: for tables, plots, page and logs.
        notes: what a reader must know before believing the tables.
        left_out: what cannot be started.
        again: fields by which runs are audited.
    """

    what: str
    title: str
    starts: Sequence[Start]
    result_of: Callable[[Entry], Result | None]
    dataset: str
    folder: Path
    notes: Sequence[str]
    left_out: Sequence[Ended] = ()
    again: dict[str, Any] | None = None


def to_the_end(work: Work, arguments: Namespace, arms: Sequence[Arm], command: str, console: Console) -> None:
    """Start what is left, and compare what has ended.

    Raises:
        Fatal, Stopped: something has failed, or it was asked to stop.
    """
    every = [start.entry for start in work.starts]
    done = {entry.run.name: found for entry in every if (found := work.result_of(entry))}
    left = [start for start in work.starts if start.entry.run.name not in done]
    check_one_dataset(every, work.dataset)
    gpus = gpus_of(every[0].config) if arguments.engine == "local" else []
    wanted = arguments.parallel or len(gpus) or _at_once(every[0].config, arguments.engine)
    parallel, logs = min(wanted, max(1, len(left))), work.folder / "runs"
    console.print(f"{len(every)} {work.what}, {len(done)} done before; {parallel} at a time")
    if left:
        console.print(f"logs in {logs}", soft_wrap=True)
    failed = list(work.left_out)
    try:
        failed += start_all(
            left,
            logs,
            parallel,
            _options(arguments),
            lambda e, s: _report_done(console, work.result_of(e), s),
            gpus,
        )
    except (KeyboardInterrupt, Stopped) as stop:
        status = stop.status if isinstance(stop, Stopped) else 130
        raise Stopped(status, "stopped; what is done is kept, the same command goes on from here") from None
    finally:
        results = [found for entry in every if (found := done.get(entry.run.name) or work.result_of(entry))]
        check_one_dataset(every, work.dataset)
        if results:
            _show(console, work, arms, results, command)
    for ended in failed:
        console.print(f"{ended.name}: {ended.line}", soft_wrap=True)
    if failed:
        count, what = len(every) + len(work.left_out), "are missing" if work.left_out else "failed"
        line = f"{len(failed)} of {count} {work.what} {what}, the others are compared"
        line += "; the same command goes on from here"
        if all(ended.status == FATAL for ended in failed):
            raise Fatal(line)
        raise Stopped(RETRY, line)


def check_one_dataset(every: Sequence[Entry], dataset: str) -> None:
    """Whether all arms train, or have trained, on the same images.

    Args:
        dataset: its digest.

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
        if found is not None and found.digest != dataset:
            raise Fatal(
                f"{entry.run.url}: trains on data set {found.digest[:16]}..., the others on {dataset[:16]}...: "
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


def _report_done(console: Console, found: Result | None, seconds: float) -> None:
    assert found is not None  # it ended well
    near = next(m for m in found.figures.memorization if m.measure == "mq" and m.aware)
    floor = f" (floor {percent(near.floor.share)})" if near.floor else ""
    quality = f", Frechet {found.figures.quality.frechet:.3g}" if found.figures.quality else ""
    console.print(
        f"{found.entry.arm.name}, seed {found.entry.seed}: {duration(seconds)}; "
        f"MQ<{near.threshold:g} {percent(near.generated.share)}{floor}{quality}"
    )


def _show(console: Console, work: Work, arms: Sequence[Arm], results: Sequence[Result], command: str) -> None:
    finished = {result.entry.run.name for result in results}
    every = [start.entry.run.name for start in work.starts] + [ended.name for ended in work.left_out]
    missing = [name for name in every if name not in finished]
    tables = write(work.folder, work.title, command, arms, results, missing, work.notes, work.again)
    console.print()
    for table in tables:
        for line in (table.title, "", *aligned(table), ""):
            console.print(line, soft_wrap=True)
    if missing:
        console.print(f"{len(missing)} of {len(every)} {work.what} are not finished")
    console.print(f"page    {work.folder / 'compare.html'}", soft_wrap=True)
    console.print(f"tables  {work.folder / 'compare.md'}", soft_wrap=True)

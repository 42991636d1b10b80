"""unecho ls: the runs and the data sets of a root, or all that a run holds."""

from argparse import ArgumentParser
from collections import defaultdict
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from ...components.data import DatasetManifest, find_manifest
from ...components.failure import Fatal
from ...components.progress import step_label
from ...components.run import BeginRecord, DatasetRecord, Plan, Record, ReportRecord, Run
from ...components.run.address import DATASETS, KINDS, RUNS, data_manifest_of, record_at, run_of, tracking_prefix
from ...components.run.state import state_of
from ...components.store import Stat, Store, open_store
from ..run_status import not_overcome
from ..units import size
from .options import DEFAULT_ROOT


def main(argv: Sequence[str]) -> None:
    """List what is at an address."""
    address = parser().parse_args(argv).address
    console = Console(highlight=False, markup=False)
    if run := _run_at(address):
        _show_run(console, run)
    else:
        _show_root(console, open_store(address))


def parser() -> ArgumentParser:
    """The command's options."""
    options = ArgumentParser(
        prog="unecho ls", description="List the runs and the data sets below a root, or all that a run holds."
    )
    options.add_argument(
        "address",
        nargs="?",
        default=DEFAULT_ROOT,
        metavar="ROOT|RUN",
        help=f"a root, or a run: ROOT/runs/NAME (default: ./{DEFAULT_ROOT})",
    )
    return options


def _run_at(address: str) -> Run | None:
    """The run of that address; None where it is the address of a root, whatever that is called."""
    try:
        run = Run.parse(address)
    except Fatal:
        return None
    return run if run.store.stat(run.key(Plan, 0)) else None


def _show_root(console: Console, store: Store) -> None:
    runs: dict[str, list[Stat]] = defaultdict(list)
    for stat in store.list(RUNS):
        if name := run_of(stat.key):
            runs[name].append(stat)
    data = list(store.list(DATASETS))
    if not runs and not data:
        raise Fatal(f"{store.url}: no runs and no data sets there: check the address")
    console.print(f"root {store.url}", soft_wrap=True)
    if runs:
        console.print()
        console.print(_runs(store, runs))
    if data:
        console.print()
        console.print(_data_sets(store, data))


def _runs(store: Store, runs: Mapping[str, Sequence[Stat]]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("run", overflow="fold")
    table.add_column("state")
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("memorized", justify="right")
    table.add_column("floor", justify="right", no_wrap=True)
    table.add_column("quality", justify="right")
    for name, stats in runs.items():
        run, keys = Run(store, name), {stat.key for stat in stats}
        state = state_of(run, keys) if run.key(Plan, 0) in keys else None
        figures = _headline(state.report) if state and state.report else ("", "", "")
        failed = [step_label(f.step, f.round, f.index) for f in not_overcome(run, state)]
        shown = "; ".join([str(state or "no plan"), *(f"failed: {step}" for step in failed)])
        table.add_row(name, shown, size(sum(stat.size for stat in stats)), *figures)
    return table


def _headline(report: ReportRecord) -> tuple[str, str, str]:
    """The strictest augmentation-aware memorization, its floor, and the Frechet distance."""
    figures = report.headline
    aware = {float(name.removeprefix("mq_aware_")): name for name in figures if _is_threshold(name)}
    frechet = next((name for name in figures if _is_frechet(name)), None)
    quality = f"{frechet.partition('_')[0]} {figures[frechet]:.3g}" if frechet else ""
    if not aware:
        return "", "", quality
    name = aware[min(aware)]
    floor = figures.get(f"{name}_floor")
    return f"{figures[name]:.1%}", "none" if floor is None else f"{floor:.1%}", quality


def _is_threshold(name: str) -> bool:
    return name.startswith("mq_aware_") and "_floor" not in name


def _is_frechet(name: str) -> bool:
    """To the held-out images: without such there is only the one to the training set, which no other row has."""
    return (name == "fid" or name.startswith("frechet_")) and not name.endswith("_training")


def _data_sets(store: Store, stats: Sequence[Stat]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("data set", no_wrap=True)
    for heading in ("training", "held out", "pixels", "chunks", "size"):
        table.add_column(heading, justify="right")
    unfinished = sum(stat.size for stat in stats if stat.key.startswith(f"{DATASETS}progress/"))
    for stat in stats:
        digest = data_manifest_of(stat.key)
        if digest and (manifest := find_manifest(store, digest)):
            table.add_row(f"{digest[:16]}...", *_data_set(manifest))
    if unfinished:
        table.add_row("being prepared", "", "", "", "", size(unfinished))
    return table


def _data_set(manifest: DatasetManifest) -> list[str]:
    refs = {ref.key: ref.size for ref in (*(c.object for c in manifest.chunks), manifest.index, manifest.names)}
    return [
        f"{manifest.train_samples:,}",
        f"{manifest.held_out_samples:,}",
        f"{manifest.channels}x{manifest.resolution}x{manifest.resolution}",
        f"{len(manifest.chunks):,}",
        size(sum(refs.values())),
    ]


def _show_run(console: Console, run: Run) -> None:
    stats = {stat.key: stat for stat in run.store.list(f"{run.prefix}/")}
    records: dict[str, Record] = {}
    for key in stats:
        at = record_at(key)
        if at and (record := run.find(at.kind, *at.index)):
            records[key] = record
    retired = {key for record in records.values() if isinstance(record, BeginRecord) for key in record.retired}
    state = state_of(run, stats)
    console.print(f"run {run.url}: {state}, {size(sum(s.size for s in stats.values()))}", soft_wrap=True)
    for failure in not_overcome(run, state):
        console.print(f"failed: {failure}", soft_wrap=True)
    if dataset := run.find(DatasetRecord):
        console.print(f"data set {dataset.digest}", soft_wrap=True)
    for key in sorted(records, key=_in_order):
        console.print()
        _line(console, stats[key].size, key.removeprefix(f"{run.prefix}/"))
        for name, ref in records[key].objects.items():
            # encodings lie beside the runs that share them
            stat = stats.get(ref.key) if ref.key.startswith(f"{run.prefix}/") else run.store.stat(ref.key)
            _line(console, ref.size, f"  {name}", _remark(stat, ref.size, ref.key in retired))
    events = {key: stat for key, stat in stats.items() if key.startswith(tracking_prefix(run))}
    if events:
        console.print()
        _line(console, sum(stat.size for stat in events.values()), f"tracking, {len(events)} files for TensorBoard")
    named = {ref.key for record in records.values() for ref in record.objects.values()} | set(events)
    rest = [stat for key, stat in stats.items() if key not in named and key not in records]
    if rest:
        console.print()
        _line(console, sum(stat.size for stat in rest), f"in {len(rest)} more: checkpoints, and what `unecho gc` lists")


def _in_order(key: str) -> tuple[int, tuple[int, ...]]:
    """As the steps make them; rounds by number, not by spelling."""
    at = record_at(key)
    assert at is not None
    return KINDS.index(at.kind), at.index


def _remark(stat: Stat | None, size: int, retired: bool) -> str:
    if retired:
        return "retired" if stat is None else "retired, and there again"
    if stat is None:
        return "missing"
    return "" if stat.size == size else f"truncated: {stat.size} bytes"


def _line(console: Console, count: int, name: str, remark: str = "") -> None:
    console.print(f"{size(count):>10}  {name}{f'  ({remark})' if remark else ''}", soft_wrap=True)

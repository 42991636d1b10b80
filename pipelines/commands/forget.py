"""unecho forget: deletion requests."""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from ...components.config.fields import IET
from ...components.data.forgotten import Numbered
from ...components.failure import Fatal
from ...components.run import DatasetRecord, Plan, Run
from ...components.run.forgotten import Request, lines_of, newest_request, requests_through
from ...components.store import Store, open_store
from ..forgetting.cost import Cost, cost_of
from ..forgetting.held import held_by
from ..forgetting.lines import asked_by, read_ids
from ..forgetting.recorded import Affected, affected_by, record
from ..releasing import whoever
from ..units import size
from .options import DEFAULT_ROOT, age

_NAMED = 10


def main(argv: Sequence[str]) -> None:
    """Record a request, list all, say what they cost a run, or remove the data sets that hold what they ask for."""
    options = parser()
    arguments = options.parse_args(argv)
    _check(options, arguments)
    console = Console(highlight=False, markup=False)
    if arguments.run is not None:
        _cost(console, Run.parse(arguments.run), arguments.ids)
        return
    store = open_store(arguments.root or DEFAULT_ROOT)
    if arguments.list:
        _list(console, store)
    elif arguments.purge:
        _purge(console, store, arguments)
    else:
        _record(console, store, arguments)


def parser() -> ArgumentParser:
    """The command's options."""
    options = ArgumentParser(
        prog="unecho forget",
        description="Deletion requests: samples that no data set of a root shall hold from now on, by the key of their "
        "source object or by what an image holds. Requests are records in ROOT/forgotten, never changed. What runs "
        "have planned before stays as it is.",
        epilog="A line of FILE is a sample's name (`cats/1.png`, `train-images#17`), its whole address, or the path or "
        "address of an image, of which digests are recorded and nothing else. With RUN nothing is recorded: it says "
        "which proxies of the run have seen the samples of all requests, or of FILE.",
    )
    options.add_argument("run", nargs="?", metavar="RUN", help="ROOT/runs/NAME: what the requests cost this run")
    options.add_argument("--root", metavar="ROOT", help=f"directory or s3://bucket/prefix (default: ./{DEFAULT_ROOT})")
    options.add_argument("--ids", metavar="FILE", help="what is to be forgotten, a name or address a line")
    options.add_argument("--by", metavar="WHO", help="who asks (default: the CI system's actor, or your login name)")
    options.add_argument("--because", metavar="TEXT", help="why, in one line; it is recorded")
    options.add_argument("--list", action="store_true", help="every request, and what still holds its samples")
    options.add_argument(
        "--purge", action="store_true", help="the data sets that hold what was requested; with --delete they go"
    )
    options.add_argument("--delete", action="store_true", help="with --purge: remove them, pixels and encodings")
    options.add_argument(
        "--older-than",
        type=age,
        default="24h",
        metavar="AGE",
        help="with --delete: leave younger objects to `unecho gc` (default: 24h; 0s only where nothing runs)",
    )
    return options


def _check(options: ArgumentParser, given: Namespace) -> None:
    works = [name for name in ("list", "purge") if getattr(given, name)]
    if len(works) + (given.ids is not None) > 1 or (given.run is not None and works):
        options.error("--ids FILE, --list and --purge are given one at a time, and of a RUN --ids alone")
    if given.run is None and not works and given.ids is None:
        options.error("one of --ids FILE, --list, --purge or RUN is needed")
    if given.run is not None and (given.root is not None or given.by or given.because):
        options.error("RUN: nothing is recorded: it takes --ids alone")
    if given.delete and not given.purge:
        options.error("--delete: goes with --purge")


def _record(console: Console, store: Store, arguments: Namespace) -> None:
    by, lines = whoever(arguments.by), read_ids(arguments.ids)
    held = held_by(store)
    request = record(store, asked_by(lines, held, arguments.ids), by, arguments.because, held)
    console.print(f"root {store.url}", soft_wrap=True)
    console.print(f"request {request.number} is recorded: {_count(len(request.lines), 'line')}, by {request.by}")
    affected = affected_by(lines_of([request]), held)
    _show_unmatched(console, request, affected)
    _show_affected(console, affected)


def _list(console: Console, store: Store) -> None:
    requests = _requests(store)
    console.print(f"root {store.url}", soft_wrap=True)
    console.print()
    table = Table(box=None, pad_edge=False)
    table.add_column("request", justify="right")
    table.add_column("at (UTC)", no_wrap=True)
    table.add_column("lines", justify="right")
    table.add_column("by", overflow="fold")
    table.add_column("because", overflow="fold")
    for request in reversed(requests):
        at = request.at[:16].replace("T", " ")
        table.add_row(str(request.number), at, f"{len(request.lines):,}", request.by, request.because or "")
    console.print(table)
    _show_affected(console, affected_by(lines_of(requests), held_by(store)))


def _purge(console: Console, store: Store, arguments: Namespace) -> None:
    from ..forgetting.removal import refuse_if_needed, remove_data_sets  # torch, for those who remove

    affected = affected_by(lines_of(_requests(store)), held_by(store))
    console.print(f"root {store.url}", soft_wrap=True)
    _show_affected(console, affected)
    if not affected:
        return
    refuse_if_needed(affected)
    if not arguments.delete:
        console.print("nothing was removed: --delete removes these data sets, with pixels, captions and encodings")
        return
    removed = remove_data_sets(store, affected, arguments.older_than)
    console.print(f"removed {_count(len(affected), 'data set')}: {removed.objects:,} objects, {size(removed.bytes)}")
    if removed.spared:
        console.print(
            f"spared: {_count(removed.spared, 'object')} that another data set may take up yet: `unecho gc "
            f"{arguments.root or DEFAULT_ROOT} --delete` removes them later (--older-than)",
            soft_wrap=True,
        )
    if readers := sorted({reader.run.url for one in affected for reader in one.held.readers}):
        console.print("reports and models of the runs that read them stay: remove the runs' folders where they must go")
        for url in readers[:_NAMED]:
            console.print(f"  {url}", soft_wrap=True)


def _cost(console: Console, run: Run, ids: str | None) -> None:
    if run.find(Plan, 0) is None:
        raise Fatal(f"{run.url}: no such run")
    plan, data = run.plan(), run.find(DatasetRecord)
    if plan.config.is_audit:
        raise Fatal(f"{run.url}: an audit trains nothing")
    if data is None:
        raise Fatal(f"{run.url}: has no data set yet: nothing was trained")
    held = next((one for one in held_by(run.store) if one.digest == data.digest), None)
    if held is None:
        raise Fatal(f"{run.url}: its data set {data.digest[:16]}... was removed: which samples it held is not known")
    if ids is None:
        asked = lines_of(_requests(run.store))
    else:
        asked = [Numbered(0, line) for line in asked_by(read_ids(ids), [held], ids)]
    found = Affected(held, held.asked_for(asked))
    console.print(f"run {run.url}", soft_wrap=True)
    table = Table(box=None, pad_edge=False, show_header=False)
    of = held.dataset.manifest
    table.add_row("training", f"{found.training:,} of {of.train_samples:,} samples are to be forgotten")
    table.add_row("held out", f"{found.held_out:,} of {of.held_out_samples:,}")
    if found.training:
        cost = cost_of(run, [row for row in found.rows if not held.dataset.held_out[row]])
        for name, text in _costs(cost, plan.config.iet):
            table.add_row(name, text)
    console.print(table)


def _costs(cost: Cost, iet: IET) -> list[tuple[str, str]]:
    anew = f"{iet.shards * iet.rounds:,} proxies, in a run under another name, which starts from model 0"
    if cost.first is None:
        return [("first visit", f"never, in {_count(cost.rounds, 'round')} that were trained"), ("a run without", anew)]
    seen = f"{cost.proxies - cost.free_proxies:,} of {cost.proxies:,} have seen them"
    free = f"{_numbers(cost.free_models)} of 0 to {cost.rounds} {_are(cost.free_models)} without them"
    return [
        ("first visit", f"round {cost.first}, of {cost.rounds} that were trained"),
        ("proxies", f"{seen} ({_count(cost.shards, 'shard')}, {_count(cost.rounds, 'round')})"),
        ("models", f"{free}; {_weights_of(cost.kept_models)}"),
        ("a run without", anew),
    ]


def _numbers(models: Sequence[int]) -> str:
    return f"model {models[0]}" if len(models) == 1 else f"models {models[0]} to {models[-1]}"


def _are(models: Sequence[int]) -> str:
    return "is" if len(models) == 1 else "are"


def _weights_of(kept: Sequence[int]) -> str:
    return f"weights of {_numbers(kept)} are there" if kept else "weights were retired (execution.keep_rounds)"


def _requests(store: Store) -> list[Request]:
    newest = newest_request(store)
    if not newest:
        raise Fatal(f"{store.url}: no deletion requests there: unecho forget --root ROOT --ids FILE records one")
    return requests_through(store, newest)


def _show_unmatched(console: Console, request: Request, affected: Sequence[Affected]) -> None:
    """Lines that ask for nothing that is there; they count all the same."""
    matched = {line for one in affected for line, rows in enumerate(one.held.rows_of(request.lines)) if rows}
    unmatched = [line.text for number, line in enumerate(request.lines) if number not in matched]
    if unmatched:
        console.print(f"{_count(len(unmatched), 'line')} of no data set that is there; left out should it come:")
        for text in unmatched[:_NAMED]:
            console.print(f"  {text}", soft_wrap=True)
        if len(unmatched) > _NAMED:
            console.print(f"  and {len(unmatched) - _NAMED:,} more")


def _show_affected(console: Console, affected: Sequence[Affected]) -> None:
    """The data sets that hold samples to be forgotten, and the runs that have read them."""
    if not affected:
        console.print("no data set holds what was asked for")
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("data set", no_wrap=True)
    table.add_column("training", justify="right")
    table.add_column("held out", justify="right")
    table.add_column("runs that have read it", overflow="fold")
    for one in affected:
        runs = ", ".join(sorted({reader.run.name for reader in one.held.readers})) or "none"
        table.add_row(f"{one.held.digest[:16]}...", f"{one.training:,}", f"{one.held_out:,}", runs)
    console.print()
    console.print(table)


def _count(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' if count != 1 else ''}"

"""unecho gc: what killed steps and losing attempts have left over."""

import time
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from ...components.failure import Fatal
from ...components.run.gc import Leftover, Manifests, Reason, leftovers, remove
from ...components.store import open_store
from ..units import size
from .options import age


def main(argv: Sequence[str]) -> None:
    """List the left-overs below a root; with --delete remove them."""
    arguments = parser().parse_args(argv)
    store = open_store(arguments.root)
    manifests = Manifests(store)
    before = time.time() - arguments.older_than
    contents = manifests.read()
    if not contents.listing:
        raise Fatal(f"{store.url}: no runs and no data sets there: check the address")
    found = leftovers(contents, before, abandoned=arguments.abandoned)
    young = len(leftovers(contents, float("inf"))) - len(leftovers(contents, before))
    console = Console(highlight=False, markup=False)
    console.print(f"root {store.url}", soft_wrap=True)
    for leftover in found:
        console.print(f"{size(leftover.stat.size):>10}  {leftover.stat.key}", soft_wrap=True)
    _show_total(console, found)
    if young:
        console.print(f"spared: {_objects(young)} more, which a step at work may name yet (--older-than)")
    if arguments.delete:
        gone = list(remove(store, manifests, found, before, abandoned=arguments.abandoned))
        console.print(f"removed {_objects(len(gone))}, {size(sum(leftover.stat.size for leftover in gone))}")
        if len(gone) < len(found):
            console.print(f"taken up or removed by others meanwhile: {_objects(len(found) - len(gone))}")
    elif found:
        console.print("nothing was removed: --delete removes them")


def parser() -> ArgumentParser:
    """The command's options."""
    options = ArgumentParser(
        prog="unecho gc",
        description="List what no manifest names: objects of killed steps and of losing attempts, checkpoints of "
        "committed proxies, retired objects that were put back, chunks of no data set. What a manifest names, "
        "or a released model and its history, stays, and so does the progress of what has not ended.",
    )
    options.add_argument("root", metavar="ROOT", help="directory or s3://bucket/prefix")
    options.add_argument("--delete", action="store_true", help="remove them")
    options.add_argument(
        "--older-than",
        type=age,
        default="24h",
        metavar="AGE",
        help="spare what was written since: a step names its objects last (default: 24h; 0s only where nothing runs)",
    )
    options.add_argument(
        "--abandoned",
        action="store_true",
        help="also progress that nobody has added to since: checkpoints of proxies that are not committed, "
        "parts of prepares that did not end; such a step starts from its beginning",
    )
    return options


def _show_total(console: Console, found: Sequence[Leftover]) -> None:
    counts, sizes = Counter[Reason](), Counter[Reason]()
    for leftover in found:
        counts[leftover.why] += 1
        sizes[leftover.why] += leftover.stat.size
    if not found:
        console.print("nothing is left over")
        return
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(justify="left")
    table.add_column(justify="right")
    table.add_column(justify="right")
    for why in counts:
        table.add_row(why.value, _objects(counts[why]), size(sizes[why]))
    table.add_row("in all", _objects(counts.total()), size(sizes.total()))
    console.print(table)


def _objects(count: int) -> str:
    return f"{count:,} object{'s' if count != 1 else ''}"

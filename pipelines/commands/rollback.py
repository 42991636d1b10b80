"""unecho rollback: what a name stood for before, released again."""

from argparse import ArgumentParser
from collections.abc import Sequence

from rich.console import Console

from ...components.store import open_store
from ..releasing import roll_back, whoever
from .options import add_root_argument
from .released import tell


def main(argv: Sequence[str]) -> None:
    """Write a record that goes back to an earlier one, and what is released now."""
    arguments = parser().parse_args(argv)
    store = open_store(arguments.root)
    change = roll_back(store, arguments.model, whoever(arguments.by), arguments.to)
    tell(Console(highlight=False, markup=False), store, change)


def parser() -> ArgumentParser:
    """The command's options."""
    options = ArgumentParser(
        prog="unecho rollback",
        description="Release again what a name stood for before. History is not undone: a rollback is a record of its "
        "own, and one rollback after another goes further back.",
        epilog="Exit status: 0 released, or released already; 1 another job was first, and nothing was changed; 2 "
        "there is nothing to go back to, or its model was removed.",
    )
    options.add_argument("model", metavar="NAME", help="of the released model")
    options.add_argument("--to", type=int, metavar="NUMBER", help="in its history (default: what was there before)")
    options.add_argument("--by", metavar="WHO", help="who decides (default: the CI system's actor, or your login name)")
    add_root_argument(options)
    return options

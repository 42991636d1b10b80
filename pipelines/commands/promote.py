"""unecho promote: release a finished run's model under a name."""

from argparse import ArgumentParser
from collections.abc import Sequence

from rich.console import Console

from ...components.failure import Fatal
from ...components.run import Run
from ...components.store import open_store
from ..releasing import promote, whoever
from .released import tell


def main(argv: Sequence[str]) -> None:
    """Write the next record of the name's history, and what is released now."""
    arguments = parser().parse_args(argv)
    run = Run.parse(arguments.run)
    if arguments.root is not None and (root := open_store(arguments.root).url) != run.store.url:
        raise Fatal(f"{run.url}: lies at another root than {root}, where the model is released: promote a run of there")
    change = promote(run, arguments.model, whoever(arguments.by), arguments.gate, arguments.replaces)
    tell(Console(highlight=False, markup=False), run.store, change)


def parser() -> ArgumentParser:
    """The command's options."""
    options = ArgumentParser(
        prog="unecho promote",
        description="Release the model of a finished run under a name: a record in ROOT/models/NAME/history, and "
        "ROOT/models/NAME/released.json. Of two jobs that promote at once one wins.",
        epilog="Exit status: 0 released, or released already; 1 another job was first, and nothing was changed; 2 the "
        "run has not ended or is an audit, the gate failed or is of another report.",
    )
    options.add_argument("run", metavar="RUN", help="ROOT/runs/NAME")
    options.add_argument("--model", required=True, metavar="NAME", help="what the model is called, whatever its run is")
    options.add_argument("--gate", metavar="FILE", help="gate.json of `unecho gate`, a path or s3://bucket/key")
    options.add_argument(
        "--replaces",
        type=int,
        metavar="NUMBER",
        help="only in place of this number of the history, 0: of none (default: what the gate has compared with as "
        "NAME, else whatever is there)",
    )
    options.add_argument("--by", metavar="WHO", help="who decides (default: the CI system's actor, or your login name)")
    options.add_argument("--root", metavar="ROOT", help="refuse a run that lies at another root")
    return options

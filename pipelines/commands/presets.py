"""unecho presets: what can be chosen."""

from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import BaseModel
from rich.console import Console
from rich.table import Table

from ...components.config import RunConfig, preset_names, preset_summary


def main(argv: Sequence[str]) -> None:
    """List the presets, or with --fields every field with its default and meaning."""
    arguments = parser().parse_args(argv)
    table = Table(box=None, pad_edge=False, show_header=False)
    if arguments.fields:
        for name, default, says in fields(RunConfig()):
            table.add_row(f"{name}\n  = {default}", says)
    else:
        for name in preset_names():
            table.add_row(name, preset_summary(name))
    Console(highlight=False, markup=False).print(table)


def parser() -> ArgumentParser:
    """The command's options."""
    options = ArgumentParser(prog="unecho presets", description="List the presets, or every field of a run.")
    options.add_argument("--fields", action="store_true", help="every field, its default and its meaning")
    return options


def fields(model: BaseModel, prefix: str = "") -> Iterator[tuple[str, Any, str]]:
    """Every field below a section: dotted name, default, meaning."""
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            yield from fields(value, f"{prefix}{name}.")
        else:
            shown = value if not isinstance(value, tuple) else list(value)
            yield prefix + name, shown, " ".join((field.description or "").split())

"""unecho released: what each name stands for, since when, by whom, and what it stood for before."""

from argparse import ArgumentParser
from collections.abc import Iterable, Mapping, Sequence

from pydantic import BaseModel, Field
from rich.console import Console
from rich.table import Table

from ...components.failure import Fatal
from ...components.log import emit
from ...components.report.tables import SHORT_WORDS
from ...components.run.released import Release, ReleasedModel, released_models
from ...components.store import Store, open_store
from ..forgetting.trained import trained_on_forgotten
from ..releasing import Change, current_of, said, what
from .options import add_root_argument


def main(argv: Sequence[str]) -> None:
    """Show one name with its history, or all names; released.json is mended where it is behind."""
    arguments = parser().parse_args(argv)
    store = open_store(arguments.root)
    models = released_models(store) if arguments.model is None else [ReleasedModel(store, arguments.model)]
    found = [_Model.of(model) for model in models]
    marks = trained_on_forgotten(store, [release for model in found for release in model.history])
    found = [one.model_copy(update={"forgotten": one.marked(marks)}) for one in found]
    for model in models:
        _mend(model)
    console = Console(highlight=False, markup=False)
    if arguments.json:
        print(_Answer(root=store.url, models=found).model_dump_json(indent=1))
    elif arguments.model is not None:
        _show(console, store, found[0])
        for number, mark in found[0].forgotten.items():
            console.print(f"number {number} {mark}", soft_wrap=True)
    elif found:
        console.print(f"root {store.url}", soft_wrap=True)
        console.print()
        console.print(_table("model", [(model.name, model.current) for model in found]))
        for one in found:
            if one.current.number in one.forgotten:
                number = one.current.number
                console.print(f"{one.name} number {number} {one.forgotten[number]}", soft_wrap=True)
    else:
        console.print(f"root {store.url}: no model is released there", soft_wrap=True)


def parser() -> ArgumentParser:
    """The command's options."""
    options = ArgumentParser(
        prog="unecho released",
        description="What is released under a name, and its history; without a name, what every name of a root stands "
        "for.",
    )
    options.add_argument("model", nargs="?", metavar="NAME", help="of the released model (default: all)")
    add_root_argument(options)
    options.add_argument("--json", action="store_true", help="one JSON object on stdout, and nothing else")
    return options


class _Model(BaseModel):
    name: str
    folder: str
    """Address of the diffusers folder."""
    current: Release
    history: list[Release]
    """The first one first."""
    forgotten: dict[int, str] = Field(default_factory=dict)
    """By number: that it was trained on what deletion requests ask for."""

    def marked(self, marks: Mapping[str, str]) -> dict[int, str]:
        """What is said of its history.

        Args:
            marks: by name and number.
        """
        return {one.number: marks[str(one)] for one in self.history if str(one) in marks}

    @classmethod
    def of(cls, model: ReleasedModel) -> "_Model":
        current = current_of(model)
        history = [release for release in model.history() if release.number <= current.number]
        return cls(name=model.name, folder=model.store.address(current.folder), current=current, history=history)


class _Answer(BaseModel):
    """What --json prints."""

    version: int = 1
    root: str
    models: list[_Model]


def _mend(model: ReleasedModel) -> None:
    """Whoever may only read is told of it."""
    try:
        model.mend()
    except (Fatal, OSError) as error:
        emit(f"{model.store.address(model.pointer)}: behind its history, and not mended: {error}", level="warning")


def tell(console: Console, store: Store, change: Change) -> None:
    """What is released now, and in whose place."""
    console.print(said(change), soft_wrap=True)
    console.print(f"model   {store.address(change.release.folder)}", soft_wrap=True)
    for release, mark in trained_on_forgotten(store, [change.release]).items():
        console.print(f"warning: {release} {mark}", soft_wrap=True)


def _show(console: Console, store: Store, model: _Model) -> None:
    now = model.current
    console.print(f"{model.name} is number {now.number}: {what(now)}", soft_wrap=True)
    for heading, text in (
        ("model", model.folder),
        ("report", store.address(now.objects["report.html"].key) if "report.html" in now.objects else "none"),
        ("data set", now.dataset),
        ("config", now.config),
        ("gate", now.gate or "none"),
    ):
        console.print(f"{heading:<9} {text}", soft_wrap=True)
    console.print()
    console.print(_table("number", [(str(release.number), release) for release in reversed(model.history)]))


def _table(heading: str, rows: Iterable[tuple[str, Release]]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column(heading, overflow="fold")
    table.add_column("run", overflow="fold")
    table.add_column("rounds", justify="right")
    table.add_column("since (UTC)", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("gate", no_wrap=True)
    table.add_column("by", overflow="fold")
    for name, release in rows:
        back = f", back to {release.restores}" if release.restores is not None else ""
        table.add_row(
            name,
            f"{release.run}{back}",
            str(release.round),
            release.at[:16].replace("T", " "),
            "smoke" if release.smoke else SHORT_WORDS[release.verdict],
            "passed" if release.gate else "none",
            release.by,
        )
    return table

"""The comparison as one self-contained page without script."""

from collections.abc import Sequence
from functools import cache
from importlib import resources

from jinja2 import Template
from markupsafe import Markup

from ...components.report.page import page_environment
from ...components.report.tables import Table
from .grids import Grid
from .results import Result


def page(
    title: str,
    command: str,
    results: Sequence[Result],
    missing: int,
    tables: Sequence[Table],
    plots: Sequence[tuple[str, Markup]],
    pictures: Sequence[Grid],
    notes: Sequence[str],
) -> str:
    """
    Args:
        command: that made it.
        missing: runs that are not finished.
        plots: each with its heading.
        notes: what a reader must know before believing the tables.
    """
    return _template().render(
        title=title,
        command=command,
        results=results,
        missing=missing,
        tables=tables,
        plots=plots,
        pictures=pictures,
        notes=notes,
        first=results[0].figures,
        copies=any(tile.copy for grid in pictures for tile in grid.tiles),
    )


@cache
def _template() -> Template:
    text = resources.files("unecho.pipelines.comparison").joinpath("page.html.j2").read_text()
    return page_environment().from_string(text)

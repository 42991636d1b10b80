"""Reports beside each other as one self-contained page without script, and without a single image of the data."""

from collections.abc import Sequence
from functools import cache
from importlib import resources

from jinja2 import Template

from ...components.report.page import bars, page_environment
from .beside import Finished, remarks, sections
from .beside_tables import difference_table, run_table, whole_tables


def beside_page(runs: Sequence[Finished], command: str) -> str:
    """
    Args:
        command: that made it.
    """
    every = sections(runs)
    return _template().render(
        runs=runs,
        command=command,
        remarks=remarks(runs, every),
        run_table=run_table(runs),
        tables=list(zip(whole_tables(runs, every), every, strict=True)),
        differences=difference_table(runs),
        histograms=[(run.label, bars(ratios)) for run in runs for ratios in run.figures.histograms if ratios.aware],
        any_floor=any(run.figures.has_floor for run in runs),
    )


@cache
def _template() -> Template:
    text = resources.files("unecho.pipelines.comparison").joinpath("beside.html.j2").read_text()
    return page_environment().from_string(text)

"""Tables of reports beside each other: runs are columns, or where there are many of them rows."""

from collections.abc import Sequence

from ...components.report.tables import Table
from .beside import Finished, Section, differences, listed
from .folding import folded, turned, width

MOST_COLUMNS = 3
"""More runs than these are rows: so many figures with their intervals fit 80 columns."""
_WIDTH = 80


def whole_tables(runs: Sequence[Finished], of: Sequence[Section]) -> list[Table]:
    """One a section, however wide."""
    tables = [_table(runs, section) for section in of]
    return tables if len(runs) <= MOST_COLUMNS else [turned(table) for table in tables]


def narrow_tables(runs: Sequence[Finished], of: Sequence[Section]) -> list[Table]:
    """The same in 80 columns: runs are rows where figures are long too; what belongs to a figure stays beside it."""
    narrow: list[Table] = []
    for section in of:
        table = _table(runs, section)
        if len(runs) <= MOST_COLUMNS and width(table) <= _WIDTH:
            narrow.append(table)
        else:
            narrow += folded(turned(table), [len(block) for block in section.blocks], _WIDTH)
    return narrow


def run_table(runs: Sequence[Finished]) -> Table:
    """What the letters stand for, and what is said of each run beside its figures."""
    headings = list(dict.fromkeys(heading for run in runs for heading in run.about))
    rows = [[run.label, run.url, *(run.about.get(heading, "") for heading in headings)] for run in runs]
    return Table("Runs", ["", "run", *headings], rows, left=range(len(headings) + 2))


def difference_table(runs: Sequence[Finished]) -> Table:
    """Fields that are not the same everywhere."""
    rows = [[name, listed(by_value)] for name, by_value in differences(runs).items()]
    return Table("What differs in the configuration", ["field", "value (runs)"], rows, left=(0, 1))


def _table(runs: Sequence[Finished], section: Section) -> Table:
    rows = [[line.name, *line.cells] for line in section.lines]
    return Table(section.title, ["", *(run.label for run in runs)], rows)

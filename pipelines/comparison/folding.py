"""Tables of as many columns as there are figures, or runs, in lines of 80 columns."""

from collections.abc import Sequence
from dataclasses import replace

from ...components.report.tables import Table, aligned


def width(table: Table) -> int:
    """Columns of text."""
    return max(map(len, aligned(table)))


def turned(table: Table) -> Table:
    """Rows as columns."""
    rows = [table.header, *table.rows]
    header, *columns = ([row[column] for row in rows] for column in range(len(table.header)))
    return Table(table.title, header, columns)


def folded(table: Table, together: Sequence[int], most: int) -> list[Table]:
    """The table as several that fit so many columns of text, each with the first column; the first has the title.

    Args:
        together: how many of the next columns stay in one table, after the first; sums up to all of them.
    """
    groups, start = [], 1
    for count in together:
        groups.append(range(start, start + count))
        start += count
    parts: list[list[int]] = []
    for group in groups:
        if not parts or width(_of_columns(table, [0, *parts[-1], *group])) > most:
            parts.append([])
        parts[-1] += group
    first, *others = (_of_columns(table, [0, *part]) for part in parts)
    return [first, *(replace(other, title="") for other in others)]


def _of_columns(table: Table, columns: Sequence[int]) -> Table:
    header, *rows = ([row[column] for column in columns] for row in (table.header, *table.rows))
    return Table(table.title, header, rows)

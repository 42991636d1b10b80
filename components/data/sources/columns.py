"""The columns of metadata that are asked for by name: of captions, and of groups that the split keeps whole."""

from ...failure import Fatal
from .metadata import TEXT_COLUMNS, Entry, plain_name
from .texts import captions_in


class CaptionColumn:
    """Where captions are: in data.caption_column, else in the first of the usual columns that a line has.

    Attributes:
        names: of the columns, as they are compared.
    """

    def __init__(self, column: str | None) -> None:
        self.names = TEXT_COLUMNS if column is None else (plain_name(column),)
        self._column, self._without = column, ""
        self._found = column is None

    def captions(self, entry: Entry, place: str) -> tuple[str, ...] | None:
        """The captions of a line, or None where it has no such column.

        Raises:
            Fatal: the column holds what is no text; names file and line.
        """
        found = entry.first(self.names)
        if found is None:
            self._without = self._without or f"{place}: {_fields(entry)}"
            return None
        self._found = True
        return captions_in(found[1], f"{place}: {found[0]}")

    def check(self, nothing: str) -> None:
        """Whether the named column was in any line.

        Args:
            nothing: what to say where there was no line at all.

        Raises:
            Fatal: it was not; names a file and the fields that it has.
        """
        if not self._found:
            raise Fatal(f"data.caption_column: {self._column}: {self._without or nothing}")


class GroupColumn:
    """The column that data.split_column names."""

    def __init__(self, column: str) -> None:
        self.column = column

    def value(self, entry: Entry, place: str) -> str:
        """A line's value, empty where it is blank.

        Raises:
            Fatal: the line has no such column, or it is no single value; names file and line.
        """
        found = entry.first([plain_name(self.column)])
        if found is None:
            raise Fatal(f"data.split_column: {self.column}: {place}: {_fields(entry)}")
        value = found[1]
        if isinstance(value, dict | list):
            raise Fatal(f"data.split_column: {place}: {found[0]} {value!r} is not one value")
        return "" if value is None else str(value).strip()


def _fields(entry: Entry) -> str:
    return f"no such column; it has the fields {', '.join(entry.fields) or '(none)'}"

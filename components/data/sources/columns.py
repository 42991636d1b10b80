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

    def check(self, address: str) -> None:
        """Whether the named column was in any line.

        Args:
            address: of the source.

        Raises:
            Fatal: it was not; names a file and the fields that it has.
        """
        if not self._found:
            where = self._without or f"{address}: no metadata file there that could have such a column"
            raise Fatal(f"data.caption_column: {self._column}: {where}")


class GroupColumn:
    """Values of data.split_column, numbered as they come."""

    def __init__(self, column: str) -> None:
        self._column, self._numbers = column, dict[str, int]()

    def number(self, entry: Entry, place: str) -> int:
        """The number of a line's value, -1 where it is blank.

        Raises:
            Fatal: the line has no such column, or it is no single value; names file and line.
        """
        found = entry.first([plain_name(self._column)])
        if found is None:
            raise Fatal(f"data.split_column: {self._column}: {place}: {_fields(entry)}")
        value = found[1]
        if isinstance(value, dict | list):
            raise Fatal(f"data.split_column: {place}: {found[0]} {value!r} is not one value")
        text = "" if value is None else str(value).strip()
        return self._numbers.setdefault(text, len(self._numbers)) if text else -1


def _fields(entry: Entry) -> str:
    return f"no such column; it has the fields {', '.join(entry.fields) or '(none)'}"

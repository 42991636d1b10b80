"""Lines of metadata files: JSON lines, CSV with any common separator, Parquet."""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...failure import Fatal
from ...store import Store
from .texts import as_text

FILE_COLUMNS = ("file_name", "filename", "file", "image", "path", "file_path", "filepath", "image_path", "image_file")
TEXT_COLUMNS = ("text", "caption", "captions", "prompt", "description")
"""Names of columns that are taken, the first that is there; in any case, with blanks around them."""
_SEPARATORS = ",;\t|"


@dataclass(frozen=True)
class Entry:
    """A line of a metadata file.

    Attributes:
        place: "line 3" or "row 3".
        fields: values by column, as the file calls it.
    """

    place: str
    fields: Mapping[str, Any]

    def first(self, columns: Sequence[str]) -> tuple[str, Any] | None:
        """Name and value of the first of these columns that the line has."""
        named = {plain_name(name): (name, value) for name, value in reversed(list(self.fields.items()))}
        return next((named[column] for column in columns if column in named), None)


def plain_name(column: str) -> str:
    """A column's name as it is compared."""
    return column.strip().strip("\ufeff\"'").strip().lower().replace(" ", "_").replace("-", "_")


def entries(store: Store, key: str) -> Iterator[Entry]:
    """The lines of a metadata file.

    Raises:
        Fatal: it is not of its format, or has no column of file names; names file and line.
    """
    data, name = store.get(key), key.lower()
    if name.endswith(".parquet"):
        yield from _of_parquet(data, store.address(key))
        return
    address = store.address(key)
    yield from (_of_csv if name.endswith(".csv") else _of_json)(as_text(data, address), address)


def _of_csv(text: str, address: str) -> Iterator[Entry]:
    separator = _separator(text)
    table = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True)
    try:
        header = next(table, [])
        if header and not any(plain_name(name) in FILE_COLUMNS for name in header):
            raise Fatal(
                f"{address}, line 1: the columns are {', '.join(header)}: none of them is called "
                f"{', '.join(FILE_COLUMNS[:5])}; the first line must name the columns"
            )
        for row in table:
            if not row or not any(row):
                continue
            if len(row) > len(header):
                raise Fatal(
                    f"{address}, line {table.line_num}: {len(row)} values for the {len(header)} columns of line 1: "
                    "put a value that holds the separator in quotes"
                )
            yield Entry(f"line {table.line_num}", dict(zip(header, row, strict=False)))
    except csv.Error as error:
        raise Fatal(f"{address}, line {table.line_num}: not CSV: {error}") from None


def _separator(text: str) -> str:
    """The one by which the first line has a column of file names, and most columns that are known."""
    first = text.partition("\n")[0].rstrip("\r")
    known = {*FILE_COLUMNS, *TEXT_COLUMNS}

    def count(separator: str) -> int:
        return sum(plain_name(name) in known for name in first.split(separator))

    return max(_SEPARATORS, key=count)


def _of_json(text: str, address: str) -> Iterator[Entry]:
    for number, line in enumerate(io.StringIO(text, newline="\n"), start=1):
        if not line.strip():
            continue
        try:
            fields = json.loads(line)
        except ValueError as error:
            raise Fatal(f"{address}, line {number}: not JSON: {error}") from None
        if not isinstance(fields, dict):
            raise Fatal(f"{address}, line {number}: not an object of fields")
        yield Entry(f"line {number}", fields)


def _of_parquet(data: bytes, address: str) -> Iterator[Entry]:
    from pyarrow import ArrowException  # here: it takes a while, and most sources do without
    from pyarrow.parquet import ParquetFile

    try:
        row = 0
        for batch in ParquetFile(io.BytesIO(data)).iter_batches():
            for fields in batch.to_pylist():
                row += 1
                yield Entry(f"row {row}", fields)
    except (ArrowException, OSError) as error:  # of bytes in memory: with OSError it tells of damage
        raise Fatal(f"{address}: not Parquet: {' '.join(str(error).split())}") from None

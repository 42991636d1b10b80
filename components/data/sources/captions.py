"""Captions as Hugging Face's imagefolder keeps them: metadata.jsonl or metadata.csv with `file_name` and `text`."""

import csv
import io
import json
import posixpath
from collections.abc import Iterator
from typing import Any

import numpy as np

from ...failure import Fatal
from ...store import Store
from .keys import Keys

METADATA = frozenset({"metadata.jsonl", "metadata.csv"})


class Captions:
    """Captions of some of the keys, in one piece of memory."""

    def __init__(self, count: int) -> None:
        self._text = bytearray()
        self._start = np.full(count, -1, np.int64)
        self._length = np.zeros(count, np.int64)
        self._depth = np.full(count, -1, np.int16)

    @property
    def count(self) -> int:
        """Keys that have a caption."""
        return int((self._start >= 0).sum())

    def __getitem__(self, item: int) -> str | None:
        start = int(self._start[item])
        return None if start < 0 else self._text[start : start + int(self._length[item])].decode()

    def read(self, store: Store, metadata: list[str], keys: Keys) -> None:
        """Take the captions of metadata files; the file nearest to an image has the last word.

        Raises:
            Fatal: a line is malformed, names a file that is not there, or names one a second time; names file and line.
        """
        for key in sorted(metadata, key=lambda key: (key.count("/"), key)):
            folder, depth = posixpath.dirname(key), key.count("/")
            for line, entry in _entries(store, key):
                place = f"{store.address(key)}, line {line}"
                name, text = entry.get("file_name"), entry.get("text")
                if not isinstance(name, str) or not name:
                    raise Fatal(f"{place}: no file_name: every line needs one")
                if text is not None and not isinstance(text, str):
                    raise Fatal(f"{place}: text {text!r} is not text")
                item = keys.find(posixpath.normpath(posixpath.join(folder, name)))
                if item is None:
                    raise Fatal(f"{place}: names {name}: no such image")
                if self._depth[item] == depth:
                    raise Fatal(f"{place}: names {name} a second time")
                self._depth[item] = depth
                self._set(item, text)

    def _set(self, item: int, text: str | None) -> None:
        data = (text or "").encode("utf-8", "replace")
        self._start[item] = -1 if text is None else len(self._text)
        self._length[item] = len(data)
        self._text += data


def _entries(store: Store, key: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line number and fields of each line of a metadata file."""
    try:
        text = store.get(key).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Fatal(f"{store.address(key)}: not UTF-8 text: {error.reason}") from None
    if key.endswith(".csv"):
        table = csv.DictReader(io.StringIO(text, newline=""))
        try:
            for row in table:
                yield table.line_num, dict(row) | {"text": row.get("text") or None}
        except csv.Error as error:
            raise Fatal(f"{store.address(key)}, line {table.line_num}: not CSV: {error}") from None
        return
    for number, line in enumerate(io.StringIO(text, newline="\n"), start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except ValueError as error:
            raise Fatal(f"{store.address(key)}, line {number}: not JSON: {error}") from None
        if not isinstance(entry, dict):
            raise Fatal(f"{store.address(key)}, line {number}: not an object of fields")
        yield number, entry

"""Captions of images: Hugging Face's metadata files, and text files beside images."""

import posixpath
import re
from bisect import bisect_left

import numpy as np

from ...failure import Fatal
from ...store import Store
from ...store.directory import DirectoryStore
from .keys import Keys, shown
from .metadata import FILE_COLUMNS, TEXT_COLUMNS, Entry, entries, plain_name
from .names import Names

METADATA = frozenset({"metadata.jsonl", "metadata.csv", "metadata.parquet"})
_NUMBERS = re.compile(r"[\s\d.,+-]*")
"""Annotations (YOLO's boxes) are kept in text files beside images, too."""


class Captions:
    """Captions of some of the keys, in one piece of memory.

    Attributes:
        groups: int64 [count], the same for keys with one value of the column of groups, -1 for none.
    """

    def __init__(self, count: int, group_column: str | None = None) -> None:
        self._column, self._values = group_column, dict[str, int]()
        self.groups = np.full(count, -1, np.int64)
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

    def read(self, store: Store, metadata: list[str], keys: Keys) -> list[str]:
        """Take the captions of metadata files; the file nearest to an image has the last word.

        Returns:
            What a user should know, a line each.

        Raises:
            Fatal: a line is malformed, names a file that is not there, or names one a second time; names file and line.
        """
        names, notes = Names(keys, _roots(store)), []
        for key in sorted(metadata, key=lambda key: (key.count("/"), key)):
            folder, depth = key[: key.rfind("/") + 1], key.count("/")
            columns = dict[str, None]()
            captioned = False
            for entry in entries(store, key):
                columns |= dict.fromkeys(entry.fields)
                captioned |= self._take(store, key, entry, names, folder, depth)
            if columns and not captioned:
                notes.append(
                    f"{shown(key)}: no column is a caption: it has {', '.join(columns)}; "
                    f"captions are read from {', '.join(TEXT_COLUMNS)}"
                )
        return notes

    def _take(self, store: Store, key: str, entry: Entry, names: Names, folder: str, depth: int) -> bool:
        """Take one line; says whether it has a column of captions."""
        place = f"{store.address(key)}, {entry.place}"
        found = entry.first(FILE_COLUMNS)
        if found is None or not isinstance(found[1], str) or not found[1].strip():
            raise Fatal(
                f"{place}: no {FILE_COLUMNS[0]}: every line needs one; it has the fields "
                f"{', '.join(entry.fields) or '(none)'}, one of {', '.join(FILE_COLUMNS)} is needed"
            )
        name = found[1].strip()
        text = entry.first(TEXT_COLUMNS)
        if text is not None and text[1] is not None and not isinstance(text[1], str):
            raise Fatal(f"{place}: {text[0]} {text[1]!r} is not text")
        item = names.find(name, folder)
        if item is None:
            raise Fatal(f"{place}: names {name}: no such image")
        if self._depth[item] == depth:
            raise Fatal(f"{place}: names {name} a second time")
        self._depth[item] = depth
        self._set(item, text[1] if text else None)
        if self._column is not None:
            self.groups[item] = self._group(place, entry, self._column)
        return text is not None

    def _group(self, place: str, entry: Entry, column: str) -> int:
        found = entry.first([plain_name(column)])
        if found is None:
            raise Fatal(
                f"data.split_column: {column}: {place}: no such column; it has the fields "
                f"{', '.join(entry.fields) or '(none)'}"
            )
        value = found[1]
        if isinstance(value, dict | list):
            raise Fatal(f"data.split_column: {place}: {found[0]} {value!r} is not one value")
        text = "" if value is None else str(value).strip()
        return self._values.setdefault(text, len(self._values)) if text else -1

    def read_beside(self, store: Store, texts: list[str], keys: Keys) -> set[str]:
        """Take x.txt for the caption of x.png, where no metadata file has one and it is not of numbers alone.

        Args:
            texts: keys of text files, sorted.

        Returns:
            Those that hold a caption.

        Raises:
            Fatal: one is not UTF-8 text; names it.
        """
        used, ordered = set[str](), [text.encode("utf-8", "surrogateescape") for text in texts]
        for item in range(len(keys) if texts else 0):
            key = keys[item]
            wanted = f"{posixpath.splitext(key)[0]}.txt".encode("utf-8", "surrogateescape")
            place = bisect_left(ordered, wanted)
            if self._start[item] >= 0 or place == len(ordered) or ordered[place] != wanted:
                continue
            try:
                text = store.get(texts[place]).decode("utf-8-sig").strip()
            except UnicodeDecodeError as error:
                raise Fatal(f"{store.address(texts[place])}: not UTF-8 text: {error.reason}") from None
            if not _NUMBERS.fullmatch(text):
                self._set(item, text)
                used.add(texts[place])
        return used

    def _set(self, item: int, text: str | None) -> None:
        data = (text or "").encode("utf-8", "replace")
        self._start[item] = -1 if text is None else len(self._text)
        self._length[item] = len(data)
        self._text += data


def _roots(store: Store) -> list[str]:
    """What a whole path or address of an image begins with."""
    if isinstance(store, DirectoryStore):
        root = store.path("")
        return [root.as_posix(), root.resolve().as_posix(), store.url]
    return [store.url]

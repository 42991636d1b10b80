"""Captions of images: Hugging Face's metadata files, and text files beside images."""

import posixpath
from bisect import bisect_left

import numpy as np

from ...config.fields import Data
from ...failure import Fatal
from ...store import Store
from ...store.directory import DirectoryStore
from .columns import CaptionColumn, GroupColumn
from .keys import Keys, shown
from .metadata import FILE_COLUMNS, Entry, entries
from .names import Names
from .texts import CaptionTable, as_text, captions_in_file

METADATA = frozenset({"metadata.jsonl", "metadata.csv", "metadata.parquet"})


class Captions:
    """Captions of some of the keys.

    Attributes:
        table: them.
        groups: int64 [count], the same for keys with one value of data.split_column, -1 for none.
    """

    def __init__(self, count: int, data: Data) -> None:
        self.table = CaptionTable(count)
        self.groups = np.full(count, -1, np.int64)
        self._data = data
        self._column = None if data.captions == "none" else CaptionColumn(data.caption_column)
        self._group = None if data.split_column is None else GroupColumn(data.split_column)
        self._values = dict[str, int]()
        self._depth = np.full(count, -1, np.int16)

    def read(self, store: Store, metadata: list[str], keys: Keys) -> list[str]:
        """Take the captions of metadata files; the file nearest to an image has the last word.

        Returns:
            What a user should know, a line each.

        Raises:
            Fatal: a line is malformed, names a file that is not there, or names one a second time; names file and line.
                Or no line has the column that data.caption_column names.
        """
        names, notes = Names(keys, roots_of(store)), []
        for key in sorted(metadata, key=lambda key: (key.count("/"), key)):
            folder, depth = key[: key.rfind("/") + 1], key.count("/")
            columns = dict[str, None]()
            captioned = False
            for entry in entries(store, key):
                columns |= dict.fromkeys(entry.fields)
                captioned |= self._take(store, key, entry, names, folder, depth)
            if self._column and columns and not captioned:
                notes.append(
                    f"{shown(key)}: no column is a caption: it has {', '.join(columns)}; "
                    f"captions are read from {', '.join(self._column.names)}"
                )
        if self._column:
            self._column.check(f"{store.url}: its metadata files are empty")
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
        captions = self._column.captions(entry, place) if self._column else None
        item = names.find(name, folder)
        if item is None:
            raise Fatal(f"{place}: names {name}: no such image")
        if self._depth[item] == depth:
            raise Fatal(f"{place}: names {name} a second time")
        self._depth[item] = depth
        self.table[item] = captions or ()
        if self._group:
            value = self._group.value(entry, place)
            self.groups[item] = self._values.setdefault(value, len(self._values)) if value else -1
        return captions is not None

    def read_beside(self, store: Store, texts: list[str], keys: Keys) -> set[str]:
        """Take x.txt for the captions of x.png, where no metadata file has one and it is not of numbers alone.

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
            if self.table.has(item) or place == len(ordered) or ordered[place] != wanted:
                continue
            text = as_text(store.get(texts[place]), store.address(texts[place]))
            if captions := captions_in_file(text, self._data.text_lines):
                self.table[item] = captions
                used.add(texts[place])
        return used


def roots_of(store: Store) -> list[str]:
    """What a whole path or address of an image begins with."""
    if isinstance(store, DirectoryStore):
        root = store.path("")
        return [root.as_posix(), root.resolve().as_posix(), store.url]
    return [store.url]

"""Names and captions: gzipped JSON lines, cut into blocks so that one sample's line costs one small read."""

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from ..failure import Fatal
from ..store import ObjectRef, Store

NAMES_BLOCK = 1024
"""Samples a gzip member; all members one after another are an ordinary .gz file."""


def pack_names(samples: Iterable[tuple[str, tuple[str, ...]]]) -> tuple[bytes, NDArray[np.int64]]:
    """Pack (name, captions) of every sample, in order of rows.

    A line's `caption` is null for none, text for one, a list of texts for several.

    Returns:
        the bytes of names.jsonl.gz, and where its blocks start and end [blocks + 1].
    """
    packed, offsets = bytearray(), [0]
    for block in _blocks(iter(samples)):
        lines = "".join(json.dumps({"source": name, "caption": _folded(captions)}) + "\n" for name, captions in block)
        packed += gzip.compress(lines.encode(), mtime=0)  # no time stamp: the same names are the same bytes
        offsets.append(len(packed))
    return bytes(packed), np.array(offsets, np.int64)


def _blocks(samples: Iterator[tuple[str, tuple[str, ...]]]) -> Iterator[list[tuple[str, tuple[str, ...]]]]:
    while block := list(islice(samples, NAMES_BLOCK)):
        yield block


def _folded(captions: tuple[str, ...]) -> str | tuple[str, ...] | None:
    return captions if len(captions) > 1 else next(iter(captions), None)


class Names:
    """Reads one sample's name and captions at a time."""

    def __init__(self, store: Store, ref: ObjectRef, offsets: NDArray[np.int64]) -> None:
        self._store, self._ref, self._offsets = store, ref, offsets
        self._block = lru_cache(maxsize=16)(self._read_block)

    def line(self, row: int) -> tuple[str, tuple[str, ...]]:
        """Name (the source object's key) and captions of a row.

        Raises:
            Fatal: the object is missing, truncated or altered; names it.
        """
        block, place = divmod(row, NAMES_BLOCK)
        lines = self._block(block)
        try:
            line = json.loads(lines[place])
            name, found = str(line["source"]), line["caption"]
            # data sets of 0.1.0 may hold blank ones, which are none
            return name, tuple(
                text for text in (found if isinstance(found, list) else [found]) if text and text.strip()
            )
        except (ValueError, LookupError, TypeError, AttributeError):
            raise self._altered() from None

    def _read_block(self, block: int) -> list[bytes]:
        start, stop = int(self._offsets[block]), int(self._offsets[block + 1])
        for _ in range(2):  # once more: the bytes may have changed on their way
            data = bytearray(stop - start)
            self._store.read_into(self._ref.key, start, memoryview(data))
            try:
                return gzip.decompress(data).splitlines()  # checks the member's CRC
            except (OSError, EOFError, zlib.error):
                continue
        raise self._altered()

    def _altered(self) -> Fatal:
        return Fatal(f"{self._store.address(self._ref.key)}: altered: not the names that were written")

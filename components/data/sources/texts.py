"""Texts to captions: what a value or a text file says, and the captions of many samples in one piece of memory."""

import json
import re
from array import array
from contextlib import suppress
from typing import Any, Literal

import numpy as np

from ...failure import Fatal

Lines = Literal["whole", "first", "each"]
"""Which lines of a text file are captions, see data.text_lines."""
_NUMBERS = re.compile(r"[\s\d.,+-]*")
"""Annotations (YOLO's boxes) are kept in text files beside images, too."""
_SHOWN = 100


def as_text(data: bytes, address: str) -> str:
    """UTF-8 text, with or without a byte order mark.

    Raises:
        Fatal: it is not; names the line.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise Fatal(f"{address}, line {line}: not UTF-8 text: {error.reason}") from None


def captions_in(value: Any, place: str) -> tuple[str, ...]:
    """The captions that a field holds: one, or a list of them, in CSV as JSON; blank ones are none.

    Args:
        place: file, line and field, for messages.

    Raises:
        Fatal: it holds something else.
    """
    if isinstance(value, str) and value.lstrip().startswith("["):
        value = _listed(value)
    given = value if isinstance(value, list) else [value]
    if not all(text is None or isinstance(text, str) for text in given):
        shown = repr(value)
        shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."
        raise Fatal(f"{place} {shown} is not text, nor a list of texts")
    return tuple(text for text in given if text and text.strip())


def _listed(text: str) -> str | list[str]:
    """The list of texts that a text is in JSON, else the text."""
    with suppress(ValueError, RecursionError):
        found = json.loads(text)
        if isinstance(found, list) and all(isinstance(one, str) for one in found):
            return found
    return text


def captions_in_file(text: str, lines: Lines) -> tuple[str, ...]:
    """The captions that a text file holds; none where it holds numbers alone."""
    if _NUMBERS.fullmatch(text):
        return ()
    if lines == "whole":
        return (text.strip(),)
    found = tuple(stripped for line in text.splitlines() if (stripped := line.strip()))
    return found[:1] if lines == "first" else found


class CaptionTable:
    """Captions of many samples, without a Python object each."""

    def __init__(self, count: int = 0) -> None:
        """
        Args:
            count: samples, without a caption yet.
        """
        self._text, self._ends = bytearray(), array("q", [0])
        self._first, self._number = array("q", bytes(8 * count)), array("i", bytes(4 * count))

    @property
    def captioned(self) -> int:
        """Samples that have a caption."""
        return int(np.count_nonzero(np.asarray(self._number)))

    def has(self, item: int) -> bool:
        return self._number[item] > 0

    def append(self, captions: tuple[str, ...]) -> None:
        """Add a sample."""
        self._first.append(0)
        self._number.append(0)
        self[len(self._number) - 1] = captions

    def __getitem__(self, item: int) -> tuple[str, ...]:
        first = self._first[item]
        return tuple(
            self._text[self._ends[one] : self._ends[one + 1]].decode()
            for one in range(first, first + self._number[item])
        )

    def __setitem__(self, item: int, captions: tuple[str, ...]) -> None:
        self._first[item], self._number[item] = len(self._ends) - 1, len(captions)
        for caption in captions:
            self._text += caption.encode("utf-8", "replace")
            self._ends.append(len(self._text))

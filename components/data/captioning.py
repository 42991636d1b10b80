"""The captions that the packed images have: those of the source, or their labels' names, as data.captions wants it."""

import re
from collections.abc import Iterable

from ..config.fields import Data
from ..failure import Fatal
from .sources.source import Source

_JOINED = re.compile(r"[_\s-]+")


class Captioning:
    """Captions by a sample's number in the source."""

    def __init__(self, source: Source, data: Data) -> None:
        """
        Raises:
            Fatal: data.captions is labels, and the source has none.
        """
        self._source, self._wanted = source, data.captions
        if data.captions == "labels" and not source.label_names:
            raise Fatal(
                f"data.captions: labels: {source.address}: its images have no labels: give each class a folder of its "
                "own, or set data.captions=auto"
            )
        self._of_label = [_JOINED.sub(" ", name).strip() for name in source.label_names]

    def __call__(self, item: int) -> tuple[str, ...]:
        if self._wanted == "none":
            return ()
        return self._source.captions(item) or self._named(item)

    def notes(self, items: Iterable[int]) -> list[str]:
        """How many of these samples have their label's name for a caption, and how many have none, a line each."""
        if self._wanted != "labels":
            return []
        named = missing = 0
        for item in items:
            if not self._source.captions(item):
                named, missing = named + bool(self._named(item)), missing + (not self._named(item))
        notes = [f"{named} images have their label's name for a caption"] if named else []
        return notes + ([f"{missing} images have neither caption nor label"] if missing else [])

    def _named(self, item: int) -> tuple[str, ...]:
        label = int(self._source.labels[item]) if self._wanted == "labels" else -1
        return (self._of_label[label],) if label >= 0 and self._of_label[label] else ()

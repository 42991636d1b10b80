"""Debian's openclipart: pictures, and the drawings that they were made from, whose metadata hold title and keywords."""

import hashlib
import posixpath
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final
from xml.parsers.expat import ExpatError, ParserCreate

from ...config.fields import Data
from ...store import Stat, Store
from .captions import METADATA
from .images import ImagesSource
from .source import Fingerprint
from .tree import SourceTree

KEYWORDS: Final = 4
"""Most keywords of a caption."""
_HEAD: Final = 64 << 10
"""Bytes of a drawing that are read: its metadata come first, in Debian's packages within 6 KB."""
_NO_TEXT: Final = re.compile(r"hash(\(0x[0-9a-f]+\))?|untitled|unsorted", re.IGNORECASE)
"""What programs have written in place of a title or a keyword that was missing."""
_THREADS: Final = 8


class OpenclipartSource(ImagesSource):
    """Pictures as in any tree of images; the caption of each is the title and the keywords of its drawing."""

    layout = "openclipart"

    def __init__(self, tree: SourceTree, data: Data) -> None:
        """List the source and, unless captions are ignored, read the beginning of every drawing.

        Raises:
            Fatal: no picture in it.
        """
        super().__init__(_Pictures(tree), data)
        wanted = data.captions != "none"
        drawings = {stat.key: stat for stat in tree.files() if wanted and is_drawing(stat.key)}
        found = [_drawing(drawings, self._keys[item]) for item in range(self.count)]
        used = {stat.key: stat for stat in found if stat}
        with ThreadPoolExecutor(_THREADS) as pool:
            captions = dict(zip(used, pool.map(lambda stat: _read(tree.store, stat), used.values()), strict=True))
        self._of_drawing = [captions[stat.key] if stat else None for stat in found]
        missing = self._of_drawing.count(None)
        if missing and data.captions == "auto":
            self.notes.append(f"{missing} of {self.count} images have no caption")
        fingerprint = Fingerprint()
        for key in sorted(used):
            fingerprint.add(used[key])
        self.fingerprint = hashlib.sha256(f"{self.fingerprint} {fingerprint.hexdigest()}".encode()).hexdigest()

    def captions(self, item: int) -> tuple[str, ...]:
        caption = self._of_drawing[item]
        return () if caption is None else (caption,)


class _Pictures(SourceTree):
    """A tree without the files that have captions in them: drawings here, text and metadata files in other layouts."""

    def __init__(self, tree: SourceTree) -> None:
        self.store, self.passed_over, self.notes, self._tree = tree.store, tree.passed_over, tree.notes, tree

    def files(self) -> Iterator[Stat]:
        for stat in self._tree.files():
            name = posixpath.basename(stat.key).lower()
            if not (name.endswith((".svg", ".txt")) or name in METADATA):
                yield stat


def is_drawing(key: str) -> bool:
    """Whether a file is called like a drawing."""
    return key.lower().endswith(".svg")


def is_openclipart(store: Store, drawing: Stat) -> bool:
    """Whether a file is a drawing below a folder `svg` with a title or keywords in it."""
    return "svg" in drawing.key.split("/")[:-1] and is_drawing(drawing.key) and _read(store, drawing) is not None


def drawing_caption(svg: bytes) -> str | None:
    """`title, keyword, keyword, ...` of a drawing's metadata (RDF, Dublin Core); None where it has neither.

    Nothing is expanded: a file that declares an entity has no caption, and neither has one that is not XML up to the
    end of its metadata.

    Args:
        svg: the file's first bytes, at least up to the end of its metadata.
    """
    parser = ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    path, title, keywords = list[str](), list[str](), list[str]()

    def start(name: str, attributes: dict[str, str]) -> None:
        path.append(name.rpartition(" ")[2])
        if path[-3:] == ["subject", "Bag", "li"]:
            keywords.append("")

    def text(data: str) -> None:
        if path[-2:] == ["Work", "title"]:
            title.append(data)
        elif path[-3:] == ["subject", "Bag", "li"]:
            keywords[-1] += data

    def end(name: str) -> None:
        if path.pop() == "metadata":
            raise _EndOfMetadata

    def refuse(*declaration: object) -> None:
        raise ValueError("an entity is declared")

    parser.StartElementHandler, parser.CharacterDataHandler, parser.EndElementHandler = start, text, end
    parser.EntityDeclHandler = refuse
    try:
        parser.Parse(svg, False)
    except _EndOfMetadata:
        return _caption("".join(title), keywords)
    except (ExpatError, LookupError, ValueError):  # an encoding that nobody knows is a LookupError
        return None
    return None


class _EndOfMetadata(Exception):
    """All that is wanted has been read."""


def _caption(title: str, keywords: Iterable[str]) -> str | None:
    """Parts that say something, each once whatever its case."""
    parts = dict[str, str]()
    head = _plain(title)
    for part in (head, *map(_plain, keywords)):
        if part:
            parts.setdefault(part.lower(), part)
    return ", ".join([*parts.values()][: KEYWORDS + bool(head)]) or None


def _plain(text: str) -> str:
    plain = " ".join(text.split())
    return "" if _NO_TEXT.fullmatch(plain) else plain


def _drawing(drawings: dict[str, Stat], picture: str) -> Stat | None:
    """The drawing of a picture: below `svg` where that is below `png`, else beside it."""
    stem = posixpath.splitext(picture)[0]
    parts = stem.split("/")
    if "png" in parts[:-1]:
        place = parts.index("png")
        found = drawings.get(f"{'/'.join([*parts[:place], 'svg', *parts[place + 1 :]])}.svg")
        if found:
            return found
    return drawings.get(f"{stem}.svg")


def _read(store: Store, drawing: Stat) -> str | None:
    head = bytearray(min(drawing.size, _HEAD))
    store.read_into(drawing.key, 0, memoryview(head))
    return drawing_caption(bytes(head))

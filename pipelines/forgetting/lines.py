"""A file of lines, each a sample's name or an image's address, as what a request keeps of them."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from ...components.data.forgotten import Asked
from ...components.data.image import SUFFIXES, BadImage, Fit
from ...components.data.recording import asked_image, pixel_digest
from ...components.failure import Fatal
from ...components.store import local_path, locate_object, open_store, read_object
from .held import Held

_THREADS: Final = 8


@dataclass(frozen=True)
class _Place:
    """A row of a data set that a line names.

    Attributes:
        name: of the sample there.
    """

    held: Held
    row: int
    name: str


def read_ids(address: str) -> list[str]:
    """The lines of a file, each once, in their order; blank ones are passed over.

    Raises:
        Fatal: no such file, no text, or no line in it.
    """
    data = read_object(address)
    if data is None:
        raise Fatal(f"--ids: {address}: no such file")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Fatal(f"--ids: {address}: not UTF-8 text (byte {error.start}): one name or address a line") from None
    lines = list(dict.fromkeys(line for line in text.replace("\r\n", "\n").split("\n") if line.strip()))
    if not lines:
        raise Fatal(f"--ids: {address}: no line in it: give a source key, or an image's path or address, a line")
    return lines


def asked_by(lines: Sequence[str], held: Sequence[Held], address: str) -> list[Asked]:
    """What a request keeps of lines.

    A line that names a sample of a data set is that sample; its file is looked up where the data set came from, its
    pixels in the data set. Any other one that is the address of a file is an image by what it holds. All else is
    taken for the name of a sample that may come.

    Args:
        address: of the file of lines, for messages.

    Raises:
        Fatal: an address is of no image; names the line.
    """
    places = _places(lines, held)
    shapes = list(dict.fromkeys(one.shape for one in held))
    sources = list(dict.fromkeys(source for one in held for source in one.sources if source != "digits"))

    def asked(line: str) -> Asked:
        return _asked(line, places.get(line, []), shapes, sources, f"--ids: {address}")

    with ThreadPoolExecutor(_THREADS) as threads:
        return list(threads.map(asked, lines))


def _places(lines: Sequence[str], held: Sequence[Held]) -> dict[str, list[_Place]]:
    found = dict[str, list[_Place]]()
    for one in held:
        names = {line: one.names_of(line) for line in lines}
        rows = one.rows_named([name for some in names.values() for name in some])
        for line, some in names.items():
            found.setdefault(line, []).extend(_Place(one, rows[name], name) for name in some if name in rows)
    return found


def _asked(line: str, places: Sequence[_Place], shapes: Sequence[Fit], sources: Sequence[str], where: str) -> Asked:
    if not places:
        data = _file(line, where)
        if data is None:
            return _of_today(line, shapes, sources)
        try:
            return asked_image(line, data, shapes)
        except BadImage as error:
            raise Fatal(f"{where}: {line}: {error}: nothing was recorded") from None
    asked = Asked(text=line, keys=sorted({place.name for place in places} - {line}))
    for data in _source_files(places):
        asked = asked.model_copy(update={"size": len(data), "file": sha256(data).hexdigest()})
        with suppress(BadImage):  # it is skipped, then
            asked = asked.model_copy(update={"pixels": asked_image(line, data, shapes).pixels})
        break
    pixels = list(asked.pixels)
    for place in places:
        digest = pixel_digest(place.held.dataset.rows([place.row])[0], place.held.shape)
        if digest not in pixels:
            pixels.append(digest)
    return asked.model_copy(update={"pixels": pixels})


def _of_today(line: str, shapes: Sequence[Fit], sources: Sequence[str]) -> Asked:
    """A data set keeps the names that its files had first, whatever they are called today."""
    if Path(line).suffix.lower() in SUFFIXES:  # nothing large is read: a tar shard may be called by its name too
        for data in _below(sources, line):
            with suppress(BadImage):  # it is skipped, then
                return asked_image(line, data, shapes)
    return Asked(text=line)


def _file(line: str, where: str) -> bytes | None:
    """What is at an address; None where a line is no address, or nothing is there."""
    if line.startswith(("s3://", "file://")):
        return read_object(line)
    path = local_path(line) if line.startswith("~") else Path(line)
    try:
        if path.is_dir():
            raise Fatal(f"{where}: {line}: a directory: name its images, one a line")
        if not path.is_file():
            return None
        store, key = locate_object(line)
        return store.find(key)
    except (OSError, ValueError):  # a name that no file can have is a name of a sample
        return None


def _source_files(places: Sequence[_Place]) -> Iterator[bytes]:
    """The file of a sample, wherever a data set that holds it came from, while it is there."""
    for place in places:
        for source in place.held.sources:
            if source != "digits" and "#" not in place.name:
                yield from _below([source], place.name)


def _below(sources: Sequence[str], name: str) -> Iterator[bytes]:
    """What is called so in sources, while they are there."""
    for source in sources:
        with suppress(Fatal, OSError, ValueError):
            if (data := open_store(source).find(name)) is not None:
                yield data

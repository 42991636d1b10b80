"""Leaving samples out of a data set: by name, by their file's bytes, and by their pixels.

The data set is then the one that the source would give without these samples, to the byte.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..store import open_store
from .forgotten import Asked, LeftOut, Numbered
from .image import Fit
from .manifest import PreparedSource, short_digests
from .packing import Packed
from .sources.captions import roots_of
from .sources.source import Source

_NAMED = 5


def asked_hash(prepared: str, requests: Sequence[Numbered], source: Source) -> str:
    """Hash of a source (with its prepare config) and of what is left out of it; that of the source where nothing is.

    The same lines in other requests are the same hash. What an address means depends on where the source lies, which
    the source's own hash does not: a copy that lies elsewhere is another source to it.
    """
    if not requests:
        return prepared
    lines = sorted({asked.model_dump_json() for _, asked in requests})
    roots = _roots(source)
    below = sorted({name for _, asked in requests for name in _below(roots, asked)})
    return hashlib.sha256("\n".join([prepared, *lines, *below]).encode()).hexdigest()


@dataclass(frozen=True)
class _Match:
    line: Numbered
    by: Literal["name", "file"]


class Wanted:
    """What requests ask for, as looked for in one source."""

    def __init__(self, source: Source, requests: Sequence[Numbered]) -> None:
        """
        Args:
            requests: rising by their number.
        """
        self._source, self._requests = source, requests
        self._of_item: dict[int, _Match] | None = None

    def items(self) -> dict[int, _Match]:
        """Samples whose name or file is asked for, by their number in the source. Only files of a size that is asked
        for are read.
        """
        if self._of_item is None:
            self._of_item = self._by_name() | {}
            for item, match in self._by_file().items():
                before = self._of_item.get(item)
                if before is None or match.line.request < before.line.request:
                    self._of_item[item] = match
        return self._of_item

    def pixels(self, fit: Fit) -> dict[str, int]:
        """Digests of images in a data set's shape, and the first request that asks for each."""
        found = dict[str, int]()
        for request, asked in self._requests:
            for digest in asked.pixels:
                if digest.fits(fit):
                    found.setdefault(digest.sha256, request)
        return found

    def not_compared(self, fit: Fit) -> list[str]:
        """Images, by the SHA-256 of their file, recorded in other shapes only and not found by name or file."""
        if fit.resize == "none":  # an image of another size is not taken at all, and its own size is always recorded
            return []
        found = {match.line.asked.file for match in self.items().values()}
        recorded = dict[str, bool]()
        for _, asked in self._requests:
            if asked.file is not None:
                here = any(digest.fits(fit) for digest in asked.pixels)
                recorded[asked.file] = recorded.get(asked.file, False) or here
        return sorted(file for file, here in recorded.items() if not here and file not in found)

    def _by_name(self) -> dict[int, _Match]:
        lines = dict[str, Numbered]()
        roots = _roots(self._source)
        for line in self._requests:
            for name in (line.asked.text, *line.asked.keys, *_below(roots, line.asked)):
                lines.setdefault(name, line)
        if not lines:
            return {}
        named = ((item, lines.get(self._source.name(item))) for item in range(self._source.count))
        return {item: _Match(line, "name") for item, line in named if line is not None}

    def _by_file(self) -> dict[int, _Match]:
        lines, sizes = dict[str, Numbered](), set[int]()
        for line in self._requests:
            if line.asked.file is not None and line.asked.size is not None:
                lines.setdefault(line.asked.file, line)
                sizes.add(line.asked.size)
        if not lines:
            return {}
        hashed = ((item, lines.get(hashlib.sha256(data).hexdigest())) for item, data in self._source.files(sizes))
        return {item: _Match(line, "file") for item, line in hashed if line is not None}


def _roots(source: Source) -> list[str]:
    """What the whole address of a sample begins with."""
    return roots_of(open_store(source.address)) if source.address.startswith("file://") else [source.address]


def _below(roots: Sequence[str], asked: Asked) -> list[str]:
    """The names that a line means as an address below one of these."""
    named = (asked.text, *asked.keys)
    return [name[len(root) + 1 :] for name in named for root in roots if name.startswith(f"{root}/")]


@dataclass(frozen=True)
class Remaining:
    """What is left of packed samples.

    Attributes:
        packed: those that stay; its chunks hold the others as well.
        rows: int64 [n], where each of these stands in the chunks.
        gone: int64 [m], where the others do.
        left_out: the others by name, sorted.
        labels, label_names: of the source, without the labels that only samples had which are left out.
    """

    packed: Packed
    rows: NDArray[np.int64]
    gone: NDArray[np.int64]
    left_out: list[LeftOut]
    labels: NDArray[np.int32]
    label_names: list[str]


def without_forgotten(packed: Packed, source: Source, fit: Fit, wanted: Wanted) -> Remaining:
    """Take out the samples that are asked for, and all whose pixels are equal to theirs."""
    matches, pixels = wanted.items(), wanted.pixels(fit)
    rows_matched = np.flatnonzero(np.isin(packed.items, np.array(list(matches), np.int64))).tolist()
    for row in rows_matched:  # what is equal to these goes with them
        digest, request = packed.digests[row].tobytes().hex(), matches[int(packed.items[row])].line.request
        pixels[digest] = min(request, pixels.get(digest, request))
    left_out, gone, items = list[LeftOut](), list[int](), list[int]()
    for row in np.flatnonzero(holds(short_digests(packed.digests), pixels)).tolist():
        item, digest = int(packed.items[row]), packed.digests[row].tobytes().hex()
        if digest not in pixels:
            continue
        request, match = pixels[digest], matches.get(item)
        by = match.by if match and match.line.request == request else "pixels"
        gone.append(row)
        items.append(item)
        left_out.append(LeftOut(name=source.name(item), request=request, by=by, pixels=digest))
    for item, _ in packed.bad:
        if match := matches.get(item):
            items.append(item)
            left_out.append(LeftOut(name=source.name(item), request=match.line.request, by=match.by, pixels=None))
    stays = np.ones(len(packed.items), np.bool_)
    stays[gone] = False
    bad = [(item, reason) for item, reason in packed.bad if item not in matches]
    kept = Packed(packed.items[stays], packed.digests[stays], packed.chunks, bad)
    left_out.sort(key=lambda one: one.name)
    labels = _labels_without(source, np.array(items, np.int64))
    return Remaining(kept, np.flatnonzero(stays), np.array(gone, np.int64), left_out, *labels)


def _labels_without(source: Source, gone: NDArray[np.int64]) -> tuple[NDArray[np.int32], list[str]]:
    """Labels and their names as the source would have them without some samples: a name may be that of a person."""
    stays = np.ones(source.count, np.bool_)
    stays[gone] = False
    emptied = np.setdiff1d(source.labels[gone], source.labels[stays])
    emptied = emptied[emptied >= 0]
    if not len(emptied):
        return source.labels, source.label_names
    names = [name for label, name in enumerate(source.label_names) if label not in emptied]
    labels = source.labels - np.searchsorted(emptied, source.labels).astype(np.int32)
    labels[np.isin(source.labels, emptied)] = -1  # of those that are gone
    return labels, names


def forgotten_notes(said: PreparedSource, requests: int, channels: int, resolution: int) -> list[str]:
    """What a user should know of what was left out, a line each.

    Args:
        said: of the source.
        requests: so many were looked at.
        channels, resolution: of the data set.
    """
    numbers = "request 1" if requests == 1 else f"requests 1 to {requests}"
    notes = [f"left out by deletion {numbers}: {_count(len(said.forgotten), 'sample')}"]
    if said.near:
        named = ", ".join([*said.near[:_NAMED], *(["..."] if said.near[_NAMED:] else [])])
        notes.append(
            f"near duplicates of forgotten samples, which stay: {_count(len(said.near), 'sample')}: {named}: name them "
            "to unecho forget"
        )
    if said.not_compared:
        notes.append(
            f"{_count(said.not_compared, 'image')} to forget recorded in other shapes than {channels}x{resolution}x"
            f"{resolution}: looked for by name and by file, not by pixels: the same unecho forget once more "
            "records this shape"
        )
    return notes


def _count(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' if count != 1 else ''}"


def holds(row_digest: NDArray[np.generic], digests: Iterable[str]) -> NDArray[np.bool_]:
    """Which rows of a data set begin as one of some digests does.

    Args:
        row_digest: uint64 [N], of its index.
        digests: SHA-256, hexadecimal.
    """
    return np.isin(row_digest, np.array([short_digest(digest) for digest in digests], np.uint64))


def short_digest(sha256: str) -> int:
    """What the index of a data set keeps of a row's digest."""
    return int.from_bytes(bytes.fromhex(sha256)[:8], "little")

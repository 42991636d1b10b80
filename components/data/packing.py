"""Decode a source part by part. Each finished part is in the store at once, so an interrupted prepare goes on."""

from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from ..config.fields import Data
from ..failure import Fatal
from ..progress import Progress
from ..store import Store, fetch
from . import ChunkRef
from .decoding import Decoder, decoder_of, in_processes, processes_for
from .image import Fit
from .manifest import chunk_images, has_object, put_chunk
from .sources.source import Decoded, Place, Source

_THREADS = 16
"""That look for records of parts."""
_BATCH_BYTES = 4 << 20
_BATCH_IMAGES = 64
_PARTS_EACH = 2
"""Parts that each process must have, at least, to make them whole: with fewer, some would wait for the others."""


class PartRecord(BaseModel):
    """A part that is done. Left by a prepare that did not end, read by the next one."""

    model_config = ConfigDict(frozen=True, ser_json_bytes="base64", val_json_bytes="base64")

    first: int
    count: int
    chunk: ChunkRef | None
    """Its images; None where all were bad."""
    digests: bytes
    """SHA-256 of each image's pixels, one after another."""
    bad: list[tuple[int, str]]


@dataclass(frozen=True)
class Packed:
    """All readable samples of a source, in order.

    Attributes:
        items: int64 [n], their numbers in the source.
        digests: uint8 [n, 32], SHA-256 of each sample's pixels.
        chunks: where the pixels are, in the same order.
        bad: (number in the source, reason) of the samples left out.
    """

    items: NDArray[np.int64]
    digests: NDArray[np.uint8]
    chunks: list[ChunkRef]
    bad: list[tuple[int, str]]


@dataclass(frozen=True)
class Parting:
    """How a source is cut.

    Attributes:
        rows: images of the source a part; a part becomes one chunk.
        base: where the records of finished parts are.
        chunks: where the chunks go.
        staged: they are not the data set's own, which is packed from them.
    """

    rows: int
    base: str
    chunks: str
    staged: bool = False


@dataclass(frozen=True)
class Share:
    """A contiguous share of a source's parts: one of `of` that differ by one part at most, some empty."""

    index: int = 0
    of: int = 1

    def among(self, parts: list[range]) -> list[range]:
        """Its parts."""
        first, end = (len(parts) * index // self.of for index in (self.index, self.index + 1))
        return parts[first:end]


def pack_all(
    store: Store, source: Source, fit: Fit, cut: Parting, data: Data, workers: int, progress: Progress
) -> Packed:
    """Decode all of a source into chunks, as far as its parts are not in the store yet; raises as `pack_parts` does."""
    return _joined(pack_parts(store, source, fit, cut, data, Share(), workers, progress))


def pack_parts(
    store: Store, source: Source, fit: Fit, cut: Parting, data: Data, share: Share, workers: int, progress: Progress
) -> list[PartRecord]:
    """Decode a share of a source into chunks, beginning with the first part that is not in the store yet.

    Raises:
        Fatal: a bad image under data.on_bad_image stop; names it.
    """
    all_parts = [range(first, min(first + cut.rows, source.count)) for first in range(0, source.count, cut.rows)]
    parts = share.among(all_parts)
    if not parts:
        progress.note(f"nothing to pack: {share.of} shares, and {len(all_parts)} of {cut.rows} images hold all")
    total = sum(map(len, parts))
    records = _finished(store, cut, parts)
    missing = [part for part in parts if part.start not in records]
    done = total - sum(map(len, missing))
    if done:
        progress.note(f"{done} of {total} images were packed before: going on from there")
    packer = _Packer(store, fit, cut, stops=data.on_bad_image == "stop")
    try:
        with closing(_packed(source, packer, missing, workers)) as packed:
            for part, record in zip(missing, packed, strict=True):
                records[part.start] = record
                done += len(part)
                progress.update(done, total, "images")
    except _Refused as refused:
        where = f"{source.address}/{source.name(refused.number)}"
        raise Fatal(f"{where}: {refused.reason}{_remedy(refused.reason)}") from None
    return [records[part.start] for part in parts]


class _Refused(Exception):
    """A bad image where none may be; by its number in the source and the reason."""

    def __init__(self, number: int, reason: str) -> None:
        super().__init__(number, reason)
        self.number, self.reason = number, reason


@dataclass(frozen=True)
class _Packer:
    """Makes the chunk of a part, and keeps its record; another process can be given one.

    Attributes:
        stops: at a bad image.
    """

    store: Store
    fit: Fit
    cut: Parting
    stops: bool

    def __call__(self, part: range, decoded: Iterator[Decoded]) -> PartRecord:
        """
        Args:
            decoded: the images of the part are its next ones.
        """
        images = np.empty((len(part), *self.fit.shape), np.uint8)
        digests, bad, rows, item = bytearray(), list[tuple[int, str]](), 0, part.start
        while item < part.stop:
            some = next(decoded)
            if some.bad and self.stops:
                raise _Refused(*some.bad[0])
            images[rows : rows + len(some.images)] = some.images
            digests += some.digests.tobytes()
            bad += some.bad
            rows, item = rows + len(some.images), some.items.stop
        chunk = put_chunk(self.store, images[:rows], self.cut.chunks) if rows else None
        record = PartRecord(first=part.start, count=len(part), chunk=chunk, digests=bytes(digests), bad=bad)
        self.store.put(_record_key(self.cut, part), record.model_dump_json().encode())
        return record


@dataclass(frozen=True)
class _FilePacker:
    """The same for a part whose images are files: all of its work in one process, from reading to the record."""

    packer: _Packer
    decoder: Decoder

    def __call__(self, part: range, places: list[Place]) -> PartRecord:
        batches = _batches([part], self.packer.fit)
        decoded = (self.decoder(some, places[some.start - part.start : some.stop - part.start]) for some in batches)
        return self.packer(part, decoded)


def _packed(source: Source, packer: _Packer, parts: list[range], workers: int) -> Generator[PartRecord, None, None]:
    """The records of parts, in order.

    Where each process has several parts to make, it makes them whole: chunks are hashed and written side by side too,
    and no pixel crosses to this process. With fewer, processes share the images of each part, and this one makes it.
    """
    located = source.located
    processes = processes_for(located, workers) if located else 1
    if located and processes > 1 and len(parts) >= _PARTS_EACH * processes:
        goes = ((part, located.places(part)) for part in parts)
        yield from in_processes(processes, _FilePacker(packer, decoder_of(located, packer.fit)), goes)
        return
    with closing(source.decode(_batches(parts, packer.fit), packer.fit, workers)) as decoded:
        for part in parts:
            yield packer(part, decoded)


def _batches(parts: Iterable[range], fit: Fit) -> Iterator[range]:
    """Images that are decoded in one go."""
    size = max(1, min(_BATCH_IMAGES, _BATCH_BYTES // fit.row_bytes))
    for part in parts:
        yield from (range(first, min(first + size, part.stop)) for first in range(part.start, part.stop, size))


def _remedy(reason: str) -> str:
    """What to do; a reason that says what the file is may say that as well."""
    return "; or set data.on_bad_image=skip" if ": " in reason else ": remove it, or set data.on_bad_image=skip"


def _finished(store: Store, cut: Parting, parts: list[range]) -> dict[int, PartRecord]:
    """Records of the parts that are done, by their first image; one that cannot be used is as if not there."""
    there = {stat.key for stat in store.list(f"{cut.base}/parts/")}
    left = [part for part in parts if _record_key(cut, part) in there]
    if not left:
        return {}
    with ThreadPoolExecutor(_THREADS) as threads:  # of a large source these are thousands
        found = threads.map(lambda part: _usable(store, cut, part), left)
        return {part.start: record for part, record in zip(left, found, strict=True) if record is not None}


def _usable(store: Store, cut: Parting, part: range) -> PartRecord | None:
    try:
        record = PartRecord.model_validate_json(store.find(_record_key(cut, part)) or b"")
    except ValidationError:
        return None
    whole = (record.first, record.count) == (part.start, len(part))
    return record if whole and (record.chunk is None or has_object(store, record.chunk.object)) else None


def _record_key(cut: Parting, part: range) -> str:
    return f"{cut.base}/parts/{part.start // cut.rows:08}.json"


def _joined(records: list[PartRecord]) -> Packed:
    bad = [entry for record in records for entry in record.bad]
    items = np.arange(sum(record.count for record in records))
    items = np.delete(items, [number for number, _ in bad])
    digests = np.empty((len(items), 32), np.uint8)
    row = 0
    for record in records:
        some = np.frombuffer(record.digests, np.uint8).reshape(-1, 32)
        digests[row : row + len(some)] = some
        row += len(some)
    return Packed(items, digests, [record.chunk for record in records if record.chunk], bad)


def repack(store: Store, staged: list[ChunkRef], kept: NDArray[np.bool_], fit: Fit, rows: int) -> list[ChunkRef]:
    """Write the kept rows of staged chunks as chunks of `rows` rows, one staged chunk in memory at a time.

    Args:
        kept: bool [n] over the rows of all staged chunks.
    """
    chunks, buffer, filled = [], np.empty((rows, *fit.shape), np.uint8), 0
    for images in _kept_rows(store, staged, kept, fit):
        while len(images):
            taken = min(len(images), rows - filled)
            buffer[filled : filled + taken] = images[:taken]
            filled, images = filled + taken, images[taken:]
            if filled == rows:
                chunks.append(put_chunk(store, buffer))
                filled = 0
    if filled:
        chunks.append(put_chunk(store, buffer[:filled]))
    return chunks


def _kept_rows(store: Store, staged: list[ChunkRef], kept: NDArray[np.bool_], fit: Fit) -> Iterator[NDArray[np.uint8]]:
    top = 0
    for chunk in staged:
        mask = kept[top : top + chunk.rows]
        top += chunk.rows
        if mask.any():
            yield chunk_images(fetch(store, chunk.object), chunk, fit.shape)[mask]

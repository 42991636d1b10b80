"""From a source to a packed data set; and the same in numbers, without decoding, for a dry run."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config.fields import Data
from ..failure import Fatal
from ..progress import Progress
from ..store import Missing, Store
from .captioning import Captioning
from .chunk_rows import Chosen, ChunkRows
from .dataset import Dataset
from .duplicates import caption_groups
from .finish import Samples, commit_dataset, each
from .forgetting import Remaining, Wanted, asked_hash, holds, without_forgotten
from .forgotten import Numbered
from .grouping import group_samples
from .image import Fit
from .manifest import (
    CHUNKS,
    DatasetManifest,
    PreparedSource,
    find_manifest,
    find_prepared,
    prepared_source,
    progress_base,
    source_key,
)
from .near_duplicates import near_copies
from .packing import Parting, Share, pack_all, pack_parts, repack
from .sources.layouts import open_source
from .sources.source import Source
from .split import check_split, split_samples

_FORM = 2
"""Raised when the same source and configuration shall give other pixels or another split than before."""
_STAGED_BYTES = 16 << 20


def packed(
    store: Store, data: Data, workers: int, progress: Progress, forgotten: Sequence[Numbered] = ()
) -> tuple[DatasetManifest, str]:
    """The data set of a source, packed now where the store does not have it.

    Args:
        forgotten: what deletion requests ask to leave out, rising by the requests' numbers.

    Returns:
        Its manifest, and the hash of the source, the configuration and the requests: `prepared_source` of it says what
        was left out.

    Raises:
        Fatal: the source does not exist or is empty, an image is bad, nothing is left to train on; one line.
    """
    source, prepared = _opened(store, data, forgotten)
    manifest = find_prepared(store, prepared) or _unchanged(store, source, data, forgotten)
    if manifest is None:
        try:
            manifest = pack_source(store, source, data, prepared, workers, progress, forgotten)
        except Missing:
            # another run of the same source may have ended and cleared the progress that both were using
            manifest = find_prepared(store, prepared)
            if manifest is None:
                raise
    # what was staged on the way holds what is left out as well
    store.delete(stat.key for stat in store.list(f"{progress_base(prepared)}/"))
    return manifest, prepared


def _unchanged(store: Store, source: Source, data: Data, forgotten: Sequence[Numbered]) -> DatasetManifest | None:
    """The data set as it was before the last requests, where these ask for nothing that it holds: it stands then.

    Not where samples were left out by a limit: what these were is not known without decoding them.
    """
    if data.train_limit is not None or data.held_out_limit is not None:
        return None
    plain = _source_hash(source, data)
    for count in (
        n for n in range(len(forgotten) - 1, -1, -1) if not n or forgotten[n - 1].request != forgotten[n].request
    ):
        said = prepared_source(store, asked_hash(plain, forgotten[:count], source))
        manifest = find_manifest(store, said.digest) if said else None
        if said is None or manifest is None:
            continue
        fit = Fit(manifest.channels, manifest.resolution, data.resize, data.background)
        later, gone = Wanted(source, forgotten[count:]), {one.name for one in said.forgotten}
        named = {source.name(item) for item in later.items()} - gone
        if named or holds(Dataset.open(store, manifest.digest).row_digest, later.pixels(fit)).any():
            return None
        now = said.model_copy(update={"not_compared": len(Wanted(source, forgotten).not_compared(fit))})
        store.create(source_key(asked_hash(plain, forgotten, source)), now.model_dump_json().encode())
        return manifest
    return None


def prepared_hash(store: Store, data: Data, forgotten: Sequence[Numbered] = ()) -> str:
    """Hash of a source as it lies there now, the configuration and the requests: what `packed` looks for in the store.

    Args:
        forgotten: see `packed`.

    Raises:
        Fatal: the source does not exist or is empty; one line.
    """
    return _opened(store, data, forgotten)[1]


def _opened(store: Store, data: Data, forgotten: Sequence[Numbered]) -> tuple[Source, str]:
    """A source as it lies there now, and the hash under which it is prepared."""
    source = open_source(data, store)
    return source, asked_hash(_source_hash(source, data), forgotten, source)


def pack_share(
    store: Store, data: Data, share: Share, workers: int, progress: Progress, forgotten: Sequence[Numbered] = ()
) -> int:
    """Pack a share of a source's parts, for `packed` to find: nothing where the whole is prepared already.

    Args:
        forgotten: as for `packed`.

    Returns:
        images of the share that are packed, now or before.

    Raises:
        Fatal: the source does not exist or is empty, an image of the share is bad; one line.
    """
    source, prepared = _opened(store, data, forgotten)
    if find_prepared(store, prepared) or _unchanged(store, source, data, forgotten):
        return 0
    Captioning(source, data)  # says where labels are wanted and there are none
    fit = _fit(source, data)
    cut = _cut(data, fit, prepared, forgotten)
    records = pack_parts(store, source, fit, cut, data, share, workers, progress)
    return sum(record.count - len(record.bad) for record in records)


def own_shape(store: Store, data: Data) -> tuple[int, int]:
    """Channels and resolution of a source's images: their own size where all that are looked at have one.

    Raises:
        Fatal: it does not exist or holds nothing; one line.
    """
    return open_source(data, store).native(own=True)


def pack_source(
    store: Store,
    source: Source,
    data: Data,
    prepared: str,
    workers: int,
    progress: Progress,
    forgotten: Sequence[Numbered] = (),
) -> DatasetManifest:
    """Decode, split and pack a source; commit its manifest, then that it is prepared.

    Args:
        prepared: hash of the prepare config, the source's objects and what is forgotten.
        forgotten: what deletion requests ask to leave out.
    """
    fit, captions = _fit(source, data), Captioning(source, data)
    cut = _cut(data, fit, prepared, forgotten)
    packed = pack_all(store, source, fit, cut, data, workers, progress)
    if not len(packed.items):
        raise Fatal(
            f"data.source: {source.address}: none of its {source.count} images can be read: nothing to train on"
        )
    images, wanted = ChunkRows(store, packed.chunks, fit.shape), Wanted(source, forgotten)
    remaining = without_forgotten(packed, source, fit, wanted)
    packed = remaining.packed
    if not len(packed.items):
        raise Fatal(f"data.source: {source.address}: all of its images are to be forgotten: nothing to train on")
    test = None if source.test is None else source.test[packed.items]
    same_caption = caption_groups(map(captions, each(packed.items)))
    grouping = group_samples(
        Chosen(images, remaining.rows),
        packed.digests,
        lambda sample: source.name(int(packed.items[sample])),
        data,
        None if source.groups is None else source.groups[packed.items],
        same_caption,
        lambda done, of: progress.update(done, of, "images compared"),
    )
    kept, held_out = split_samples(packed.digests, grouping.number, data, test)
    items = packed.items[kept]
    labelled = data.labels == "auto"
    samples = Samples(
        items=items,
        digests=packed.digests[kept],
        labels=remaining.labels[items] if labelled else np.full(len(items), -1, np.int32),
        label_names=remaining.label_names if labelled else [],
        held_out=held_out[kept],
        captions=captions,
        alike=grouping.alike[kept],
        same_caption=same_caption[kept],
        chunks=repack(store, packed.chunks, _among(images, remaining.rows[kept]), fit, _chunk_rows(data, fit))
        if cut.staged
        else packed.chunks,
    )
    told = [*grouping.notes, *captions.notes(each(items))]
    left_out = len(packed.items) - len(items)
    manifest = commit_dataset(store, source, samples, fit, _prepare_config(data, fit), packed.bad, left_out, told)
    for note in manifest.notes:
        progress.note(note)
    near = _near(images, remaining, data)
    said = PreparedSource(
        digest=manifest.digest,
        forgotten=remaining.left_out,
        near=[source.name(item) for item in each(packed.items[near])],
        not_compared=len(wanted.not_compared(fit)),
    )
    store.create(source_key(prepared), said.model_dump_json().encode())
    return manifest


def _among(images: ChunkRows, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Rows of chunks as a mask over all of them."""
    mask = np.zeros(len(images), np.bool_)
    mask[rows] = True
    return mask


def _near(images: ChunkRows, remaining: Remaining, data: Data) -> NDArray[np.int64]:
    """Samples that stay though they are near duplicates of what was left out, by position among those that stay; none
    where the split heeds no near duplicates.
    """
    if not len(remaining.gone) or data.split_by == "none" or not data.near_duplicate:
        return np.empty(0, np.int64)
    stays, gone = Chosen(images, remaining.rows), Chosen(images, remaining.gone)
    return np.flatnonzero(near_copies(stays, gone, data.near_duplicate)).astype(np.int64)


def _cut(data: Data, fit: Fit, prepared: str, forgotten: Sequence[Numbered]) -> Parting:
    """How the source is cut. Where not all of it stays, parts are staged and what stays is packed anew: no chunk of the
    data set holds what is left out.
    """
    rows, base = _chunk_rows(data, fit), progress_base(prepared)
    if data.train_limit is None and data.held_out_limit is None and not forgotten:
        return Parting(rows=rows, base=f"{base}/{rows}", chunks=CHUNKS)
    rows = max(rows, _STAGED_BYTES // fit.row_bytes)
    return Parting(rows=rows, base=f"{base}/{rows}", chunks=f"{base}/{rows}/chunks", staged=True)


def _chunk_rows(data: Data, fit: Fit) -> int:
    return max(1, int(data.chunk_mib * 2**20) // fit.row_bytes)


def _fit(source: Source, data: Data) -> Fit:
    """The samples' shape; the source is looked at only where a field is `auto`."""
    channels, resolution = source.native() if "auto" in (data.channels, data.resolution) else (0, 0)
    if data.channels != "auto":
        channels = data.channels
    if data.resolution != "auto":
        resolution = data.resolution
    return Fit(channels, resolution, data.resize, data.background)


def _source_hash(source: Source, data: Data) -> str:
    """Hash of all that the data set is made from; where the source lies and the size of chunks is not part of it."""
    fields = _fields(data, "source", "chunk_mib") | {"layout": source.layout, "form": _FORM}
    text = json.dumps(fields, sort_keys=True) + source.fingerprint
    return hashlib.sha256(text.encode()).hexdigest()


def _prepare_config(data: Data, fit: Fit) -> dict[str, Any]:
    """The fields that say what the data set is: where it came from and how it is cut is left out."""
    fields = _fields(data, "source", "layout", "on_bad_image", "chunk_mib")
    return fields | {"channels": fit.channels, "resolution": fit.resolution, "form": _FORM}


def _fields(data: Data, *left_out: str) -> dict[str, Any]:
    """The fields that count. Those that came later do where they are set: what was prepared before stands."""
    later = ("official_test", "split_column", "captions", "caption_column", "text_lines")
    unset = {name for name in later if getattr(data, name) == Data.model_fields[name].default}
    return data.model_dump(mode="json", exclude={*left_out, *unset})


@dataclass(frozen=True)
class Survey:
    """What prepare would make of a source whose images are all good and all different.

    Attributes:
        resolution: height and width, pixels.
    """

    train_samples: int
    held_out_samples: int
    channels: int
    resolution: int


def survey(data: Data) -> Survey:
    """List the source, and look into it where a field is `auto`.

    Raises:
        Fatal: it does not exist, holds nothing, is not of its layout, or leaves nothing to train on.
    """
    source = open_source(data)
    Captioning(source, data)  # says where labels are wanted and there are none
    native = source.native() if "auto" in (data.channels, data.resolution) else (0, 0)
    held_out = max(1, round(data.held_out * source.count)) if data.held_out else 0
    if source.test is not None:
        held_out = int(source.test.sum())
    train = source.count - held_out
    train, held_out = min(train, data.train_limit or train), min(held_out, data.held_out_limit or held_out)
    check_split(source.count, train, held_out, data)
    return Survey(
        train_samples=train,
        held_out_samples=held_out,
        channels=native[0] if data.channels == "auto" else data.channels,
        resolution=native[1] if data.resolution == "auto" else data.resolution,
    )

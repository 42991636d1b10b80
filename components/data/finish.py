"""The last part of prepare: digest, index, names and the manifest."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from ..failure import Fatal
from ..store import Store, put_object
from . import ChunkRef, DatasetManifest, Duplicates, Skipped, find_manifest
from .id_table import pack_names
from .image import Fit
from .manifest import manifest_key, objects_base, short_digests
from .sources.source import Source

_SKIPPED_LISTED = 1000
_BLOCK = 1 << 16


@dataclass(frozen=True)
class Samples:
    """The samples of the data set, in the order of its rows.

    Attributes:
        items: int64 [N], their numbers in the source.
        digests: uint8 [N, 32], SHA-256 of each one's pixels.
        labels: int32 [N], -1 for none.
        label_names: name of label i.
        held_out: bool [N].
        chunks: where the pixels are.
    """

    items: NDArray[np.int64]
    digests: NDArray[np.uint8]
    labels: NDArray[np.int32]
    label_names: list[str]
    held_out: NDArray[np.bool_]
    chunks: list[ChunkRef]


def commit_dataset(
    store: Store,
    source: Source,
    samples: Samples,
    fit: Fit,
    prepare: dict[str, Any],
    bad: list[tuple[int, str]],
    left_out: int,
    grouped: list[str],
) -> DatasetManifest:
    """Write index and names, then the manifest.

    Args:
        prepare: the fields that pixels, labels and split depend on.
        bad: (number in the source, reason) of skipped images.
        left_out: samples that the limits dropped.
        grouped: what is to be said of the groups that the split keeps whole, a line each.

    Returns:
        the manifest that stands: an earlier one's, where the same data set was prepared before.
    """
    digest = dataset_digest(source, samples, fit, prepare)
    row_digest = short_digests(samples.digests)
    names, offsets = pack_names((source.name(item), source.caption(item)) for item in _each(samples.items))
    index = {"label": samples.labels, "held_out": samples.held_out, "row_digest": row_digest, "names_offset": offsets}
    duplicates = find_duplicates(row_digest, lambda row: source.name(int(samples.items[row])))
    skipped = [Skipped(name=source.name(item), reason=reason) for item, reason in bad[:_SKIPPED_LISTED]]
    held_out = int(samples.held_out.sum())
    base = objects_base(digest)
    manifest = DatasetManifest(
        digest=digest,
        samples=len(samples.items),
        train_samples=len(samples.items) - held_out,
        held_out_samples=held_out,
        channels=fit.channels,
        resolution=fit.resolution,
        label_names=samples.label_names,
        captions=sum(1 for _ in _captions(source, samples)),
        chunks=samples.chunks,
        index=put_object(store, base, "index.safetensors", save(index)),
        names=put_object(store, base, "names.jsonl.gz", names),
        prepare=prepare,
        skipped_samples=len(bad),
        skipped=skipped,
        duplicates=duplicates,
        notes=[*source.notes, *_notes(len(bad), skipped, duplicates, left_out), *grouped],
    )
    if store.create(manifest_key(digest), manifest.model_dump_json(indent=1).encode()):
        return manifest
    found = find_manifest(store, digest)
    if found is None:
        raise Fatal(f"{store.address(manifest_key(digest))}: removed while it was written: start again")
    return found


def dataset_digest(source: Source, samples: Samples, fit: Fit, prepare: dict[str, Any]) -> str:
    """SHA-256 over pixels (by each sample's own digest), labels, captions, split and the prepare config, in order.

    How samples are cut into chunks, where they came from and what they were called is left out.
    """
    head = {"shape": fit.shape, "samples": len(samples.items), "label_names": samples.label_names, "prepare": prepare}
    digest = hashlib.sha256(json.dumps(head, sort_keys=True).encode())
    captions = hashlib.sha256()
    for start in range(0, len(samples.items), _BLOCK):
        block = slice(start, start + _BLOCK)
        digest.update(samples.digests[block].tobytes())
        digest.update(samples.labels[block].astype("<i4").tobytes())
        digest.update(samples.held_out[block].astype(np.uint8).tobytes())
    for row, caption in _captions(source, samples):
        captions.update(b"%d:%d:%b" % (row, len(caption), caption))
    digest.update(captions.digest())
    return digest.hexdigest()


def _captions(source: Source, samples: Samples) -> Iterator[tuple[int, bytes]]:
    if not source.captions:
        return
    for row, item in enumerate(_each(samples.items)):
        caption = source.caption(item)
        if caption is not None:
            yield row, caption.encode()


def _each(items: NDArray[np.int64]) -> Iterator[int]:
    """Entries as Python numbers, never all at once."""
    for start in range(0, len(items), _BLOCK):
        yield from items[start : start + _BLOCK].tolist()


def _notes(bad: int, skipped: list[Skipped], duplicates: Duplicates, left_out: int) -> list[str]:
    notes = []
    if bad:
        named = "; ".join(f"{one.name}: {one.reason}" for one in skipped[:5])
        notes.append(f"{bad} bad images were skipped: {named}{'; ...' if bad > 5 else ''}")
    if left_out:
        notes.append(f"{left_out} images were left out by data.train_limit and data.held_out_limit")
    if duplicates.groups:
        named = "; ".join(" = ".join(group) for group in duplicates.first[:3])
        more = "; ..." if duplicates.groups > 3 else ""
        notes.append(f"{duplicates.samples} samples are exact duplicates, in {duplicates.groups} sets: {named}{more}")
    return notes


_GROUPS = 10
_NAMES = 5


def find_duplicates(row_digest: NDArray[np.uint64], name: Callable[[int], str]) -> Duplicates:
    """Count the sets of equal samples and name the first ones.

    Args:
        row_digest: [N], equal for equal pixels.
        name: of a row.
    """
    order = np.argsort(row_digest, kind="stable")
    ordered = row_digest[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    sizes = np.diff(np.concatenate([starts, [len(ordered)]]))
    starts, sizes = starts[sizes > 1], sizes[sizes > 1]
    first_row = order[starts]  # the sort is stable: a set's first row comes first
    first = [
        [name(int(row)) for row in order[starts[group] : starts[group] + min(sizes[group], _NAMES)]]
        for group in np.argsort(first_row)[:_GROUPS]
    ]
    return Duplicates(groups=len(starts), samples=int(sizes.sum()), first=first)

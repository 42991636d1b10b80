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
from . import ChunkRef, DatasetManifest, Skipped, find_manifest
from .duplicates import duplicate_notes, find_caption_duplicates, find_duplicates
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
        captions: of a sample, by its number in the source.
        alike: int64 [N], the same for equal and near-duplicate images.
        same_caption: int64 [N], the same for samples with equal captions, -1 for none.
        chunks: where the pixels are.
    """

    items: NDArray[np.int64]
    digests: NDArray[np.uint8]
    labels: NDArray[np.int32]
    label_names: list[str]
    held_out: NDArray[np.bool_]
    captions: Callable[[int], tuple[str, ...]]
    alike: NDArray[np.int64]
    same_caption: NDArray[np.int64]
    chunks: list[ChunkRef]


def commit_dataset(
    store: Store,
    source: Source,
    samples: Samples,
    fit: Fit,
    prepare: dict[str, Any],
    bad: list[tuple[int, str]],
    left_out: int,
    told: list[str],
) -> DatasetManifest:
    """Write index and names, then the manifest.

    Args:
        prepare: the fields that pixels, labels and split depend on.
        bad: (number in the source, reason) of skipped images.
        left_out: samples that the limits dropped.
        told: what else is to be said, a line each.

    Returns:
        the manifest that stands: an earlier one's, where the same data set was prepared before.
    """
    digest = dataset_digest(samples, fit, prepare)
    row_digest = short_digests(samples.digests)
    names, offsets = pack_names((source.name(item), samples.captions(item)) for item in each(samples.items))
    index = {"label": samples.labels, "held_out": samples.held_out, "row_digest": row_digest, "names_offset": offsets}

    def name(row: int) -> str:
        return source.name(int(samples.items[row]))

    duplicates, kinds = find_duplicates(row_digest, name), None
    captioned, caption_count = samples.same_caption >= 0, sum(len(samples.captions(i)) for i in each(samples.items))
    if captioned.any():
        kinds = find_caption_duplicates(samples.alike, samples.same_caption, name)
    trained = np.isin(samples.same_caption, samples.same_caption[~samples.held_out & captioned])
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
        captions=int(captioned.sum()),
        caption_count=caption_count,
        chunks=samples.chunks,
        index=put_object(store, base, "index.safetensors", save(index)),
        names=put_object(store, base, "names.jsonl.gz", names),
        prepare=prepare,
        skipped_samples=len(bad),
        skipped=skipped,
        duplicates=duplicates,
        caption_duplicates=kinds,
        notes=[
            *source.notes,
            *_notes(len(bad), skipped, left_out),
            *duplicate_notes(duplicates, kinds, int((trained & samples.held_out).sum())),
            *told,
        ],
    )
    if store.create(manifest_key(digest), manifest.model_dump_json(indent=1).encode()):
        return manifest
    found = find_manifest(store, digest)
    if found is None:
        raise Fatal(f"{store.address(manifest_key(digest))}: removed while it was written: start again")
    return found


def dataset_digest(samples: Samples, fit: Fit, prepare: dict[str, Any]) -> str:
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
    for row, item in enumerate(each(samples.items)):
        for caption in map(str.encode, samples.captions(item)):
            captions.update(b"%d:%d:%b" % (row, len(caption), caption))
    digest.update(captions.digest())
    return digest.hexdigest()


def each(items: NDArray[np.int64]) -> Iterator[int]:
    """Entries as Python numbers, never all at once."""
    for start in range(0, len(items), _BLOCK):
        yield from items[start : start + _BLOCK].tolist()


def _notes(bad: int, skipped: list[Skipped], left_out: int) -> list[str]:
    notes = []
    if bad:
        named = "; ".join(f"{one.name}: {one.reason}" for one in skipped[:5])
        notes.append(f"{bad} bad images were skipped: {named}{'; ...' if bad > 5 else ''}")
    if left_out:
        notes.append(f"{left_out} images were left out by data.train_limit and data.held_out_limit")
    return notes

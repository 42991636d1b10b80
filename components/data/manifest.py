"""What a packed data set consists of, and where it is in the store.

datasets/chunks/<sha256>                        rows of pixels
datasets/<digest>/<sha256, cut>/index.safetensors, names.jsonl.gz
datasets/<digest>.json                          the manifest, committed last
datasets/sources/<hash>.json                    "already prepared": prepare config and source objects -> digest
datasets/progress/<hash>/<rows>/...             of a prepare that has not ended
"""

import hashlib
import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator
from safetensors.numpy import save

from ..failure import Fatal
from ..store import ObjectRef, Store, find_parsed
from .forgotten import LeftOut

CHUNKS = "datasets/chunks"
"""Where chunks are, each named by the SHA-256 of its bytes; data sets may share them."""


class _Stored(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class ChunkRef(_Stored):
    """A chunk: safetensors with one tensor, `images` uint8 [rows, C, H, W]."""

    object: ObjectRef
    rows: int = Field(ge=1)
    offset: int = Field(ge=8)
    """Where the tensor's bytes start in the object."""


class Skipped(_Stored):
    """An image of the source that could not be read."""

    name: str
    reason: str


class Duplicates(_Stored):
    """Samples that are alike."""

    groups: int = 0
    """Sets of two or more of them."""
    samples: int = 0
    """Samples in them, the first of each set included."""
    first: list[list[str]] = Field(default_factory=list)
    """Names of the first groups, in order of their first row."""


class CaptionDuplicates(_Stored):
    """Samples that are alike by image (equal or near duplicates) or by caption, of those a chain joins."""

    image_only: Duplicates = Duplicates()
    """The image is alike, and captions within the set differ."""
    caption_only: Duplicates = Duplicates()
    """A caption is equal, and images within the set differ."""
    both: Duplicates = Duplicates()


class DatasetManifest(_Stored):
    """A packed data set. Rows are numbered 0..samples-1 in the order of the source's sorted keys.

    The index is safetensors: `label` int32 [N] (-1 for none), `held_out` bool [N], `row_digest` uint64 [N]
    (first 8 bytes of the SHA-256 of the row's pixels, little-endian), `names_offset` int64 [blocks + 1] (where
    the blocks of names start).
    """

    version: Literal[1] = 1
    digest: str
    """SHA-256 of pixels, labels, captions, split and the prepare config."""
    samples: int = Field(ge=1)
    train_samples: int = Field(ge=0)
    held_out_samples: int = Field(ge=0)
    channels: int = Field(ge=1)
    resolution: int = Field(ge=1)
    """Height and width, pixels."""
    label_names: list[str] = Field(default_factory=list)
    """Name of label i; empty without labels."""
    captions: int = 0
    """Samples with a caption."""
    caption_count: int = 0
    """Captions; a sample may have several."""
    chunks: list[ChunkRef]
    index: ObjectRef
    names: ObjectRef
    """Gzip members of NAMES_BLOCK lines, see `unecho.components.data.id_table`."""
    prepare: dict[str, Any] = Field(default_factory=dict)
    """The fields of the data section that the pixels, labels and split depend on."""
    skipped_samples: int = 0
    """Images that were left out with data.on_bad_image skip."""
    skipped: list[Skipped] = Field(default_factory=list)
    """The first of them."""
    duplicates: Duplicates = Duplicates()
    """Samples with the same pixels."""
    caption_duplicates: CaptionDuplicates | None = None
    """None without captions, and in a data set of 0.1.0."""
    notes: list[str] = Field(default_factory=list)
    """What a user should know, a line each."""

    @model_validator(mode="before")
    @classmethod
    def _one_caption_each(cls, given: Any) -> Any:
        """In a data set of 0.1.0 a sample has one caption at most."""
        return {"caption_count": given.get("captions", 0), **given} if isinstance(given, dict) else given


class PreparedSource(_Stored):
    """Says that a source with this hash is prepared already."""

    digest: str
    forgotten: list[LeftOut] = Field(default_factory=list)
    """Samples of the source that deletion requests have kept out of the data set."""
    near: list[str] = Field(default_factory=list)
    """Names of samples that are near duplicates of these, and stay."""
    not_compared: int = 0
    """Images that requests ask for and that were looked for by name and file alone: of them no digest of pixels is
    recorded in the shape of the data set."""


def manifest_key(digest: str) -> str:
    """Key of a data set's manifest."""
    return f"datasets/{digest}.json"


def objects_base(digest: str) -> str:
    """Where a data set's index and names are."""
    return f"datasets/{digest}"


def source_key(source: str) -> str:
    """Key of "already prepared"; `source` is the hash of the prepare config and the source's objects."""
    return f"datasets/sources/{source}.json"


def progress_base(source: str) -> str:
    """Where an unfinished prepare keeps how far it is."""
    return f"datasets/progress/{source}"


def find_manifest(store: Store, digest: str) -> DatasetManifest | None:
    """A data set's manifest, or None when there is no such data set.

    Raises:
        Fatal: it is there and cannot be read, or does not add up; names it.
    """
    found = find_parsed(store, manifest_key(digest), DatasetManifest)
    if found is not None:
        packed = sum(chunk.rows for chunk in found.chunks)
        if found.digest != digest or packed != found.samples:
            raise Fatal(
                f"{store.address(manifest_key(digest))}: altered: it says data set {found.digest[:16]}... with "
                f"{found.samples} samples, {packed} of them in chunks"
            )
    return found


def find_prepared(store: Store, source: str) -> DatasetManifest | None:
    """The data set that a source with this hash was packed into, or None."""
    found = prepared_source(store, source)
    return find_manifest(store, found.digest) if found else None


def prepared_source(store: Store, source: str) -> PreparedSource | None:
    """What is said of a source with this hash, or None."""
    return find_parsed(store, source_key(source), PreparedSource)


def put_chunk(store: Store, images: NDArray[np.uint8], base: str = CHUNKS) -> ChunkRef:
    """Write a chunk below `base`, unless the store has it already.

    Args:
        images: [rows, C, H, W].
    """
    data = save({"images": np.ascontiguousarray(images)})
    digest = hashlib.sha256(data).hexdigest()
    ref = ObjectRef(key=f"{base}/{digest}", size=len(data), sha256=digest)
    if not has_object(store, ref):
        store.put(ref.key, data)
    return ChunkRef(object=ref, rows=len(images), offset=8 + int.from_bytes(data[:8], "little"))


def has_object(store: Store, ref: ObjectRef) -> bool:
    """Whether an object of this key and size is there."""
    stat = store.stat(ref.key)
    return stat is not None and stat.size == ref.size


def chunk_images(data: bytes, ref: ChunkRef, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """The rows in a chunk's bytes, without a copy: [rows, *shape], read-only."""
    return np.frombuffer(data, np.uint8, ref.rows * math.prod(shape), ref.offset).reshape(ref.rows, *shape)


def row_digests(images: NDArray[np.uint8] | list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """SHA-256 of each row's pixels.

    Args:
        images: n arrays, each contiguous.

    Returns:
        uint8 [n, 32].
    """
    digests = b"".join(hashlib.sha256(row.data).digest() for row in images)
    return np.frombuffer(digests, np.uint8).reshape(len(images), 32)


def short_digests(digests: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """First 8 bytes of each digest ([n, 32]) as uint64 [n], little-endian."""
    return np.ascontiguousarray(digests[:, :8]).view("<u8").reshape(len(digests)).astype(np.uint64)

"""A chunk: rows of pixels as one safetensors object, named by its content."""

import hashlib
import math

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from unecho.components.dataset.manifest import CHUNKS, ChunkRef
from unecho.components.store import ObjectRef, Store


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

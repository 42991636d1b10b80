"""A packed data set, written here from the description of its form and not by the code under test."""

import gzip
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from unecho.components.data import Dataset
from unecho.components.store.directory import DirectoryStore

DIGEST = "d" * 64
BLOCK = 1024


class CountingStore(DirectoryStore):
    """Counts what is read."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.reads: list[tuple[str, int, int]] = []

    def read_ranges(self, key, ranges) -> None:
        self.reads += [(key, start, len(target)) for start, target in ranges]
        super().read_ranges(key, ranges)


@dataclass
class Packed:
    root: Path
    store: CountingStore
    images: np.ndarray
    chunk_keys: list[str]

    def open(self) -> Dataset:
        return Dataset.open(self.store, DIGEST)


def ref(root: Path, key: str, data: bytes) -> dict:
    path = root / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return {"key": key, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


@pytest.fixture
def pack(tmp_path: Path) -> Callable[..., Packed]:
    """pack(images, rows=[...]) writes images [N, C, H, W] in chunks of so many rows."""

    def call(images: np.ndarray, rows: list[int]) -> Packed:
        count = len(images)
        chunks, names, offsets, start = [], b"", [0], 0
        for size in rows:
            data = save({"images": images[start : start + size]})
            key = f"datasets/chunks/{hashlib.sha256(data).hexdigest()}"
            chunks.append(
                {
                    "object": ref(tmp_path, key, data),
                    "rows": size,
                    "offset": len(data) - images[start : start + size].nbytes,
                }
            )
            start += size
        for first in range(0, count, BLOCK):
            lines = [
                json.dumps({"source": f"{row}.png", "caption": f"no. {row}" if row % 2 else None})
                for row in range(first, min(first + BLOCK, count))
            ]
            names += gzip.compress(("\n".join(lines) + "\n").encode())
            offsets.append(len(names))
        index = {
            "label": (np.arange(count) % 3).astype(np.int32),
            "held_out": np.arange(count) % 4 == 0,
            "row_digest": np.array(
                [int.from_bytes(hashlib.sha256(image.tobytes()).digest()[:8], "little") for image in images], np.uint64
            ),
            "names_offset": np.array(offsets),
        }
        manifest = {
            "digest": DIGEST,
            "samples": count,
            "train_samples": int((~index["held_out"]).sum()),
            "held_out_samples": int(index["held_out"].sum()),
            "channels": images.shape[1],
            "resolution": images.shape[2],
            "label_names": ["a", "b", "c"],
            "chunks": chunks,
            "index": ref(tmp_path, f"datasets/{DIGEST}/1/index.safetensors", save(index)),
            "names": ref(tmp_path, f"datasets/{DIGEST}/2/names.jsonl.gz", names),
        }
        (tmp_path / f"datasets/{DIGEST}.json").write_text(json.dumps(manifest))
        return Packed(tmp_path, CountingStore(tmp_path), images, [chunk["object"]["key"] for chunk in chunks])

    return call


@pytest.fixture
def noise() -> Callable[..., np.ndarray]:
    def call(count: int, channels: int = 3, size: int = 8) -> np.ndarray:
        return np.random.default_rng(0).integers(0, 256, (count, channels, size, size), dtype=np.uint8)

    return call

"""What a round moves, in bytes: redistribution's write, a training pod's reads with and without its cache (counts)."""

import struct
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from unecho.components.config import resolve
from unecho.components.data import Dataset
from unecho.components.method.reassign import reassign
from unecho.components.method.shards import stratify
from unecho.components.plan.step import plan
from unecho.components.prepare.step import prepare
from unecho.components.progress import Silent
from unecho.components.run import DatasetRecord, Run
from unecho.components.run.tensors import state_bytes
from unecho.components.store.directory import DirectoryStore

SAMPLES, SIDE, SHARDS, FRACTION = 60_000, 28, 10, 0.2


class Counting(DirectoryStore):
    """Counts the bytes that are read, records left out."""

    read = 0

    def get(self, key: str) -> bytes:
        data = super().get(key)
        self.read += 0 if key.endswith(".json") else len(data)
        return data

    def read_ranges(self, key: str, ranges: Sequence[tuple[int, memoryview]]) -> None:
        super().read_ranges(key, ranges)
        self.read += sum(len(target) for _, target in ranges)


def benchmark() -> None:
    with TemporaryDirectory(prefix="unecho-bench-") as folder:
        store = Counting(Path(folder, "root"))
        digest = _dataset(Run(store, "x"), Path(folder))
        draw = np.random.default_rng(0)
        rows = Dataset.open(store, digest).train_rows
        before = stratify(rows, np.full(SAMPLES, -1, np.int32), SHARDS, seed=0)
        skips = draw.binomial(100, 0.1, len(rows))
        after = reassign(before, np.full(len(rows), 100), skips, SHARDS, FRACTION, seed=0, round=0)
        image = SIDE * SIDE
        whole = np.full(SAMPLES, -1, np.int32)  # held-out samples are in no shard
        whole[rows] = after
        print(
            f"  {len(rows):,} samples of {image} bytes in {SHARDS} shards, {(after != before).mean():.0%} redistributed"
        )
        tensors = {"shard": torch.from_numpy(whole), "augment_next": torch.zeros(SAMPLES, dtype=torch.bool)}
        print(f"  redistribution writes one assignment: {len(state_bytes(tensors)):,} bytes, and no image")
        for shard in (0, 1):
            cache = Path(folder, f"cache-{shard}")
            first, new = rows[before == shard], rows[(after == shard) & (before != shard)]
            cold = _read(store, cache, digest, first)
            warm = _read(store, cache, digest, rows[after == shard])
            none = _read(store, None, digest, rows[after == shard])
            print(
                f"  shard {shard}: round 0 reads {cold:,} bytes of {len(first) * image:,}; round 1 {warm:,} with its "
                f"cache ({len(new)} new rows are {len(new) * image:,}), {none:,} without: {none / warm:.1f}x less"
            )


def _dataset(run: Run, folder: Path) -> str:
    """Random pixels, packed from an IDX file."""
    source = folder / "source"
    source.mkdir()
    pixels = np.random.default_rng(0).bytes(SAMPLES * SIDE * SIDE)
    (source / "train-images-idx3-ubyte").write_bytes(struct.pack(">4i", 0x803, SAMPLES, SIDE, SIDE) + pixels)
    (source / "train-labels-idx1-ubyte").write_bytes(struct.pack(">2i", 0x801, SAMPLES) + bytes(SAMPLES))
    plan(run, resolve(settings=(f"data.source={source}", "data.layout=idx", "execution.workers=1")))
    record: DatasetRecord = prepare(run, Silent())
    return record.digest


def _read(store: Counting, cache: Path | None, digest: str, rows: np.ndarray) -> int:
    """Bytes that reading the rows takes from the store, the data set's index included."""
    store.read = 0
    Dataset.open(store, digest, cache, 2**30).rows(rows)
    return store.read

"""The S3 store against a bare minio client (goals: one large object at least 1.0x as fast, rows of a shard 3x)."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest

from tests.benchmarks.turns import in_turns
from tests.services.s3 import BUCKET, S3, running
from unecho.components.store import Store, open_store

LARGE_BYTES = 256 << 20
ROWS, ROW_BYTES, SHARDS = 5_000, 3 * 32 * 32, 10
PAIRS = 5


def benchmark() -> None:
    patch = pytest.MonkeyPatch()
    with TemporaryDirectory(prefix="unecho-bench-") as folder, running(Path(folder) / "server") as s3:
        try:
            s3.point(patch)
            store = open_store(f"s3://{BUCKET}/benchmark")
            _large(store, s3, Path(folder))
            _rows(store, s3)
        finally:
            patch.undo()


def _large(store: Store, s3: S3, folder: Path) -> None:
    """Files both ways, as `fput_object` and `fget_object` take them."""
    file, client = folder / "large", s3.client()
    file.write_bytes(np.random.default_rng(0).bytes(LARGE_BYTES))
    put = in_turns(
        lambda: store.put("large", file),
        lambda: client.fput_object(BUCKET, "benchmark/bare", str(file)),
        PAIRS,
    )
    print(f"  put of {LARGE_BYTES >> 20} MiB from a file: {put.inverse('wall')}; {put.inverse('cpu')}")
    target = folder / "got"
    get = in_turns(
        lambda: target.write_bytes(store.get("large")),
        lambda: client.fget_object(BUCKET, "benchmark/bare", str(target)),
        PAIRS,
    )
    print(f"  get of {LARGE_BYTES >> 20} MiB to a file: {get.inverse('wall')}; {get.inverse('cpu')}")
    buffer = memoryview(bytearray(LARGE_BYTES))
    into = in_turns(
        lambda: store.read_into("large", 0, buffer),
        lambda: client.fget_object(BUCKET, "benchmark/bare", str(target)),
        PAIRS,
    )
    print(f"  get of {LARGE_BYTES >> 20} MiB into memory, the bare one to a file: {into.inverse('wall')}")
    os.remove(target)


def _rows(store: Store, s3: S3) -> None:
    """A shard's rows of a chunk, against one request a row on as many threads."""
    draw = np.random.default_rng(0)
    chunk, client = draw.bytes(ROWS * ROW_BYTES), s3.client()
    store.put("chunk", chunk)
    rows = np.flatnonzero(draw.random(ROWS) < 1 / SHARDS)
    buffers = [memoryview(bytearray(ROW_BYTES)) for _ in rows]

    def one_a_row(row: int) -> bytes:
        response = client.get_object(BUCKET, "benchmark/chunk", offset=row * ROW_BYTES, length=ROW_BYTES)
        try:
            return response.read()
        finally:
            response.close()
            response.release_conn()

    def bare() -> None:
        with ThreadPoolExecutor(16) as pool:
            assert all(pool.map(one_a_row, rows.tolist()))

    ranges = [(row * ROW_BYTES, buffer) for row, buffer in zip(rows.tolist(), buffers, strict=True)]
    turns = in_turns(lambda: store.read_ranges("chunk", ranges), bare, PAIRS)
    for row, buffer in zip(rows.tolist(), buffers, strict=True):
        assert buffer == chunk[row * ROW_BYTES : (row + 1) * ROW_BYTES]
    print(f"  {len(rows)} of {ROWS} rows of {ROW_BYTES} bytes: {turns.inverse('wall')}; {turns.inverse('cpu')}")

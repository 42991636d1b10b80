"""An epoch of a shard that is streamed from an S3 store, with its rows kept in a local file and without."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch

from tests.benchmarks.batches import epoch
from tests.benchmarks.turns import in_turns
from tests.services import s3 as service
from unecho.components.config.fields import Data
from unecho.components.data import Dataset
from unecho.components.data.prepare import packed
from unecho.components.progress import Silent
from unecho.components.store import open_store
from unecho.components.train.held import StreamedRows

SAMPLES, SHARDS, BATCH, PAIRS = 20_000, 10, 128, 5


def benchmark() -> None:
    torch.set_num_threads(1)
    with (
        TemporaryDirectory(prefix="unecho-bench-") as folder,
        service.running(Path(folder, "server")) as s3,
        pytest.MonkeyPatch.context() as patch,
        ThreadPoolExecutor(4) as pool,
    ):
        s3.point(patch)
        store = open_store(f"s3://{service.BUCKET}/bench")
        digest = packed(store, _source(Path(folder, "source")), 1, Silent())[0].digest
        first = Dataset.open(store, digest)
        rows = np.sort(np.random.default_rng(1).permutation(first.train_rows)[: SAMPLES // SHARDS])
        kept = Dataset.open(store, digest, Path(folder, "cache"), 2**30)
        with_cache, without = (_epoch(dataset, rows, pool) for dataset in (kept, first))
        with_cache()  # the first epoch fills the file
        turns = in_turns(with_cache, without, PAIRS)
        ours, other = turns.seconds("wall")
        print(
            f"  {len(rows):,} rows of 3 KB, spread over the chunks, batches of {BATCH}: {turns.ratio('wall')}; "
            f"{1000 * ours:.0f} ms against {1000 * other:.0f} ms an epoch after the first"
        )


def _source(folder: Path) -> Data:
    """Random pixels in CIFAR-10's binary form."""
    folder.mkdir()
    records = np.random.default_rng(0).integers(0, 256, (SAMPLES, 3073), np.uint8)
    records[:, 0] = 0
    (folder / "data_batch_1.bin").write_bytes(records.tobytes())
    return Data(source=str(folder), layout="cifar10")


def _epoch(dataset: Dataset, rows: Sequence[int] | np.ndarray, pool: ThreadPoolExecutor):
    return epoch(
        StreamedRows(lambda rows: torch.from_numpy(dataset.rows(rows)), np.asarray(rows), torch.device("cpu"), pool),
        len(rows),
    )

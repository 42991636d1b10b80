"""shard and redistribute at 1,000,000 and 10,000,000 samples: seconds and peak memory, whole steps on a directory."""

from tempfile import TemporaryDirectory

import numpy as np
import torch
from safetensors.numpy import save

from tests.benchmarks.memory import in_own_process
from tests.benchmarks.turns import Work
from unecho.components.config import resolve
from unecho.components.data import ChunkRef, DatasetManifest
from unecho.components.data.id_table import NAMES_BLOCK
from unecho.components.data.manifest import manifest_key
from unecho.components.plan.step import plan
from unecho.components.progress import Silent
from unecho.components.redistribute.step import redistribute
from unecho.components.run import Assignment, DatasetRecord, ProxyRecord, RoundFigures, Run
from unecho.components.run.tensors import load_state, state_bytes
from unecho.components.shard.step import shard
from unecho.components.store import ObjectRef, put_object

SHARDS = 10


def benchmark() -> None:
    for samples in (1_000_000, 10_000_000):
        with TemporaryDirectory(prefix="unecho-bench-") as root:
            in_own_process(_dataset, root, samples)
            sharded = in_own_process(_shard, root)
            in_own_process(_statistics, root)
            moved = in_own_process(_redistribute, root)
        for name, used in (("shard", sharded), ("redistribute", moved)):
            print(f"  {name}, {samples:,} samples: {used}, {used.peak / samples:.0f} bytes a sample", flush=True)


def _shard(root: str) -> Work:
    run = Run.at(root, "many")
    return lambda: shard(run, Silent())


def _redistribute(root: str) -> Work:
    run = Run.at(root, "many")
    return lambda: redistribute(run, 0, Silent())


def _dataset(root: str, samples: int) -> Work:
    """A data set of which only the index is there: no step here reads pixels or names."""

    def write() -> None:
        run, rng = Run.at(root, "many"), np.random.default_rng(0)
        plan(run, resolve("cifar10", settings=(f"iet.shards={SHARDS}",)))
        index = {
            "label": rng.integers(0, 1000, samples, np.int32),
            "held_out": rng.random(samples) < 0.1,
            "row_digest": rng.integers(0, 2**63, samples, np.uint64),
            "names_offset": np.zeros(-(-samples // NAMES_BLOCK) + 1, np.int64),
        }
        held_out = int(index["held_out"].sum())
        nowhere = ObjectRef(key="nowhere", size=0, sha256="")
        counts = {"samples": samples, "train_samples": samples - held_out, "held_out_samples": held_out}
        shape = {"channels": 3, "resolution": 32}
        chunks = [ChunkRef(object=nowhere, rows=samples, offset=8)]
        objects = {"index": put_object(run.store, "datasets/x", "index.safetensors", save(index)), "names": nowhere}
        manifest = DatasetManifest(digest="x", chunks=chunks, **objects, **counts, **shape)
        run.store.put(manifest_key("x"), manifest.model_dump_json().encode())
        run.commit(DatasetRecord(digest="x", **counts, **shape))

    return write


def _statistics(root: str) -> Work:
    """What the proxies of round 0 tell: each sample seen 100 times, most of them skipped now and then."""

    def write() -> None:
        run, rng = Run.at(root, "many"), np.random.default_rng(1)
        tensors = load_state(run.store, run.load(Assignment, 0).objects["assignment.safetensors"])
        figures = RoundFigures(round=0, visits=1, skips=0, augmented=0, steps=1, loss=1.0)
        for k in range(SHARDS):
            rows = torch.nonzero(tensors["shard"] == k).flatten()
            statistics = {
                "sample": rows,
                "visits": torch.full((len(rows),), 100, dtype=torch.int32),
                "skips": torch.from_numpy(rng.poisson(1 + k, len(rows)).clip(0, 100).astype(np.int32)),
                "augment_next": torch.from_numpy(rng.random(len(rows)) < 0.5),
            }
            objects = {
                "statistics.safetensors": put_object(
                    run.store, f"proxies/{k}", "statistics.safetensors", state_bytes(statistics)
                )
            }
            proxy = ProxyRecord(round=0, shard=k, samples=len(rows), global_step=1, figures=figures, objects=objects)
            run.commit(proxy, 0, k)

    return write

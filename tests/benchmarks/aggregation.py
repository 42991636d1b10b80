"""aggregate's peak memory, against the size of one model's weights (goal: at most two models).

And, from a store whose every request waits, the average of proxies that are read beside each other against the same one
file after another (no goal given).
"""

import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import torch
from safetensors.torch import save

from tests.benchmarks.memory import MIB, in_own_process
from tests.benchmarks.turns import Work, in_turns
from unecho.components.aggregate.step import aggregate
from unecho.components.config import resolve
from unecho.components.diffusion.pixels import build_network, network_config
from unecho.components.method import average as averaging
from unecho.components.plan.step import plan
from unecho.components.progress import Silent
from unecho.components.run import ModelRecord, ProxyRecord, RoundFigures, Run
from unecho.components.run.tensors import state_bytes
from unecho.components.store import SequentialReader, put_object
from unecho.components.store.base import Range
from unecho.components.store.directory import DirectoryStore


def benchmark() -> None:
    with TemporaryDirectory(prefix="unecho-bench-") as root:
        for shards in (2, 10):
            run = Run.at(root, f"of-{shards}")
            size = _proxies(run, shards)
            used = in_own_process(_ready, root, run.name)
            models = used.peak / size
            print(
                f"  {shards} proxies of {size / MIB:.0f} MiB a set of weights: {used}: {models:.2f} models", flush=True
            )
    _waiting()


LATENCY_S, PROXIES, PAIRS = 0.02, 32, 3


class Distant(DirectoryStore):
    """Each read waits as long as a request to a server may."""

    def read_ranges(self, key: str, ranges: Sequence[Range]) -> None:
        time.sleep(LATENCY_S)
        super().read_ranges(key, ranges)


def _waiting() -> None:
    with TemporaryDirectory(prefix="unecho-bench-") as root:
        store = Distant(Path(root))
        draw = torch.Generator().manual_seed(0)
        tensors = {f"{layer:02}.weight": torch.randn(256, 1024, generator=draw) for layer in range(8)}
        ref = put_object(store, "weights", "raw.safetensors", save(tensors))

        def average() -> bytearray:
            files = [SequentialReader.open(store, ref, 256 << 10) for _ in range(PROXIES)]
            return averaging.average(files, [1] * PROXIES)

        def alone() -> bytearray:
            with patch.object(averaging, "_THREADS", 1):
                return average()

        assert average() == alone()
        turns = in_turns(average, alone, PAIRS)
        print(
            f"  {PROXIES} proxies of {ref.size / MIB:.0f} MiB, {1000 * LATENCY_S:.0f} ms a request: "
            f"{turns.inverse('wall')} against one file after another",
            flush=True,
        )


def _ready(root: str, name: str) -> Work:
    run = Run.at(str(Path(root)), name)
    torch.zeros(1).double()
    return lambda: aggregate(run, 0, Silent())


def _proxies(run: Run, shards: int) -> int:
    """A round's proxies: records of their own over the same bytes. Returns the bytes of a model's weights."""
    config = resolve("cifar10", settings=(f"iet.shards={shards}",))
    plan(run, config)
    network = build_network(network_config(config, 3, 32))
    weights = state_bytes(network.state_dict())
    refs = {name: put_object(run.store, "weights", name, weights) for name in ("raw.safetensors", "ema.safetensors")}
    shape = put_object(run.store, "weights", "network.json", b"{}")
    run.commit(ModelRecord(round=0, objects=refs | {"network.json": shape}), 0)
    figures = RoundFigures(round=0, visits=1, skips=0, augmented=0, steps=1, loss=1.0)
    for k in range(shards):
        proxy = ProxyRecord(round=0, shard=k, samples=4500 + k, global_step=1, figures=figures, objects=refs)
        run.commit(proxy, 0, k)
    return len(weights)

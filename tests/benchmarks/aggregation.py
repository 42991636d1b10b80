"""aggregate's peak memory, against the size of one model's weights (goal: at most two models)."""

from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from tests.benchmarks.memory import MIB, in_own_process
from tests.benchmarks.turns import Work
from unecho.components.aggregate.step import aggregate
from unecho.components.config import resolve
from unecho.components.diffusion.pixels import build_network, network_config
from unecho.components.plan.step import plan
from unecho.components.progress import Silent
from unecho.components.run import ModelRecord, ProxyRecord, RoundFigures, Run
from unecho.components.run.tensors import state_bytes
from unecho.components.store import put_object


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

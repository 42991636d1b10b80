"""An audit's search for copies, 10,000 generated and 1,000 held-out in 100,000 training images, against a bare product.

The search is what decides a verdict: every image beside every training image, as it is, mirrored and shifted, and which
held-out images have a near duplicate. Sets are packed in a store and read from there, as a step reads them. The bare
product is one of the generated with all training images, float32, on as many threads: no distances, one way, no floor.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray

from tests.benchmarks.memory import MIB, in_own_process
from tests.benchmarks.turns import Work
from unecho.components.assess.assessment import floor_of
from unecho.components.assess.compared import compared
from unecho.components.config import RunConfig
from unecho.components.initialize.step import initialize
from unecho.components.measures.memorization import closeness
from unecho.components.measures.transforms import stages
from unecho.components.plan.step import plan
from unecho.components.prepare.step import prepare
from unecho.components.progress import Silent
from unecho.components.run import ModelRecord, Run
from unecho.components.run.audited import audit_config
from unecho.components.store import open_store

THREADS = 1
SHAPE = (3, 32, 32)
CPU = torch.device("cpu")


def benchmark(generated: int = 10_000, training: int = 100_000, held_out: int = 1000) -> None:
    """
    Args:
        generated, training, held_out: images.
    """
    with TemporaryDirectory(prefix="unecho-bench-") as folder:
        _write(Path(folder, "data/data_batch_1.bin"), training, 0)
        _write(Path(folder, "data/test_batch.bin"), held_out, 1)
        _write(Path(folder, "images/data_batch_1.bin"), generated, 2)
        in_own_process(_prepared, folder)
        search = in_own_process(_search, folder)
        bare = in_own_process(_bare, generated, training)
    held = (generated + training + held_out) * int(np.prod(SHAPE)) / MIB
    ways = sum(len(transforms) for transforms in stages(RunConfig().taa))
    products = ways * (generated + held_out) / generated
    print(f"  {THREADS} thread; search {search} beside the {held:.0f} MiB of the images, in the store")
    print(f"  bare product {bare}")
    for kind in ("cpu", "wall"):
        ratio = getattr(search.cost, kind) / getattr(bare.cost, kind)
        each = f"{ratio / products:.2f}x the {products:.1f} products of {ways} ways and the floor"
        print(f"  {ratio:.1f}x by {kind}; {each}")


def _write(path: Path, count: int, seed: int) -> None:
    """Smooth images with a little noise, in CIFAR-10's form."""
    path.parent.mkdir(exist_ok=True)
    draw = np.random.default_rng(seed)
    with path.open("wb") as out:
        for first in range(0, count, 5000):
            records = np.zeros((min(5000, count - first), 1 + int(np.prod(SHAPE))), np.uint8)
            records[:, 1:] = _smooth(draw, len(records)).reshape(len(records), -1)
            out.write(records.tobytes())


def _smooth(draw: np.random.Generator, count: int) -> NDArray[np.uint8]:
    coarse = torch.from_numpy(draw.uniform(0, 255, (count, 3, 6, 6)).astype(np.float32))
    images = torch.nn.functional.interpolate(coarse, SHAPE[1:], mode="bicubic").numpy()
    return (images + draw.normal(0, 6, images.shape)).clip(0, 255).astype(np.uint8)


def _prepared(folder: str) -> Work:
    """Plan, packing and model 0 of the audit: what has been done when a search begins."""
    store = open_store(f"{folder}/root")
    settings = ("data.official_test=true", f"threads={THREADS}", "execution.workers=1")
    config = audit_config(store, f"{folder}/images", f"{folder}/data", settings=settings)

    def work() -> None:
        plan(_run(folder), config)
        prepare(_run(folder), Silent())
        initialize(_run(folder), Silent())

    return work


def _search(folder: str) -> Work:
    torch.set_num_threads(THREADS)
    run = _run(folder)
    config = run.config()
    images, reference = compared(run, config, run.load(ModelRecord, 0))

    def work() -> None:
        closeness(images, reference.training, stages(config.taa), config.evaluate, CPU)
        floor_of(reference, config, CPU, Silent())

    return work


def _bare(queries: int, training: int, rows: int = 1024) -> Work:
    torch.set_num_threads(THREADS)
    draw = torch.Generator().manual_seed(0)
    a, b = (torch.rand(count, int(np.prod(SHAPE)), generator=draw) for count in (queries, training))

    def work() -> None:
        for first in range(0, queries, rows):
            a[first : first + rows] @ b.T

    return work


def _run(folder: str) -> Run:
    return Run.at(f"{folder}/root", "audit")

"""One GPU: a CIFAR-shaped run, step by step, against an older tree; the price of determinism; evaluate's search.

Rows for docs/benchmarks.md, which names the card. The run is that of the `cifar10` preset, shortened: random images in
CIFAR-10's form, two shards, one round. Every tree gets the same command line, in a process of its own. What was
compiled is kept from a first, still shorter run, since a full run compiles once and trains for hours.

UNECHO_OLDER_TREE names the older tree, such as of `git archive 8369117`; without it the rows that need it are left out.
"""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from json import loads
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np
import torch

from tests.benchmarks.turns import in_turns
from unecho.components.config import RunConfig
from unecho.components.measures.exact import exact
from unecho.components.measures.images import InMemory
from unecho.components.measures.memorization import closeness
from unecho.components.measures.transforms import stages

TRAINING = 20_000
SHORT = (
    "iet.shards=2",
    "iet.rounds=1",
    "iet.local_steps=300",
    "train.warmup_epochs=0",
    "sample.count=512",
    "sample.parts=1",
    "sample.batch_size=256",
    "threads=2",
)
"""Of both trees: fields that both have."""
SHORTEST = ("iet.local_steps=5", "sample.count=256", "sample.steps=20")
"""What is compiled in it is what the short run needs: the shapes are the same."""
FOLDERS = {"proxies": "train", "samples": "sample", "reports": "evaluate"}
"""Of a run, and the steps whose records lie there."""


@dataclass(frozen=True)
class Row:
    """Of the table in docs/benchmarks.md."""

    what: str
    goal: str
    measured: str

    def __str__(self) -> str:
        return f"| {self.what} | {self.goal} | {self.measured} | |"


def benchmark() -> None:
    if not torch.cuda.is_available():
        print("  no CUDA device: left out")
        return
    print(f"  {torch.cuda.get_device_name()}, {torch.cuda.get_device_properties(0).total_memory / 1e9:.0f} GB")
    for row in rows(torch.device("cuda")):
        print(row, flush=True)


def rows(device: torch.device) -> Iterator[Row]:
    """All of them, each as soon as it is measured."""
    yield search(device)
    with TemporaryDirectory(prefix="unecho-bench-") as folder:
        source = Path(folder, "data")
        write_images(source, TRAINING)
        yield from of_runs(Path(folder), source, SHORT, SHORTEST)


def search(device: torch.device, generated: int = 10_000, training: int = 50_000) -> Row:
    """Evaluate's search: every generated image beside every training image, mirrored and shifted, against products."""
    draw = np.random.default_rng(0)
    queries, others = (draw.integers(0, 256, (count, 3, 32, 32), np.uint8) for count in (generated, training))
    config = RunConfig()
    a, b = (torch.from_numpy(images).to(device).flatten(1).float() for images in (queries, others))
    ways = stages(config.taa)
    count = sum(len(transforms) for transforms in ways)

    def ours() -> None:
        closeness(InMemory(queries), InMemory(others), ways, config.evaluate, device)

    @exact()
    def bare() -> None:
        for _ in range(count):
            for first in range(0, generated, 1024):
                a[first : first + 1024] @ b.T
        if device.type == "cuda":
            torch.cuda.synchronize()

    turns = in_turns(ours, bare, 3)
    seconds = turns.seconds("wall")
    what = (
        f"evaluate's search, {generated:,} generated in {training:,} training images (3x32x32, random), {count} ways, "
    )
    measured = f"{turns.ratio('wall')}: {seconds[0]:.3g} s against {seconds[1]:.3g} s"
    return Row(what + ", against as many bare products, float32 without TF32", "none given", measured)


def of_runs(folder: Path, source: Path, short: Sequence[str], shortest: Sequence[str]) -> Iterator[Row]:
    """Whole runs: this tree, without determinism, and the older tree."""
    here = Path(__file__).parents[2]
    # so few steps would not be compiled, and a full run's are
    trees = {"ours": (here, ("compile=true",)), "fastest": (here, ("compile=true", "deterministic=false"))}
    if older := os.environ.get("UNECHO_OLDER_TREE"):
        trees["older"] = (Path(older), ())
    took: dict[str, Counter[str]] = {}
    for name, (tree, more) in trees.items():
        run_once(tree, folder / f"{name}-first", source, [*short, *more, *shortest])
        took[name] = run_once(tree, folder / name, source, [*short, *more])
    ours = took["ours"]
    said = ", ".join(f"{step} {seconds:.1f} s" for step, seconds in ours.items())
    yield Row("a CIFAR-shaped run, shortened, kernels compiled before", "evaluate in minutes", said)
    for other, what, goal in (
        ("older", "as many times as fast as the older tree", "at least 4x"),
        ("fastest", "as many times as fast as with `deterministic: false`", "none given"),
    ):
        if other not in took:
            yield Row(f"the same, {what}", goal, "not measured: UNECHO_OLDER_TREE names none")
            continue
        ratios = ", ".join(f"{step} {took[other][step] / ours[step]:.2f}x" for step in ours if ours[step])
        yield Row(f"the same, {what}", goal, ratios)


def run_once(tree: Path, root: Path, source: Path, settings: Sequence[str]) -> Counter[str]:
    """Run a tree's program to the end, once.

    Returns:
        Seconds of the whole, imports and all, and of its steps; those of a map are added up.
    """
    # before there was a package of one name its commands were a package of their own
    package = "unecho.pipelines" if (tree / "unecho").is_dir() else "pipelines"
    program = f"import sys; from {package}.commands import main; sys.exit(main(sys.argv[1:]))"
    words = ["run", "--preset", "cifar10", "--root", str(root), "--name", "a"]
    for setting in (f"data.source={source}", *settings):
        words += ["--set", setting]
    environment = os.environ | {"PYTHONPATH": str(tree), "UNECHO_LOG": "json"}
    started = perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", program, *words], cwd=tree, env=environment, text=True, capture_output=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{tree}: exit status {done.returncode}: {done.stderr[-2000:]}")
    return Counter({"in all": perf_counter() - started}) + seconds_of(root / "runs/a")


def seconds_of(run: Path) -> Counter[str]:
    """Seconds of a run's steps, by their records."""
    found: Counter[str] = Counter()
    for folder, step in FOLDERS.items():
        for path in (run / folder).rglob("*.json"):
            content = loads(path.read_text())
            if isinstance(content, dict) and (ran := content.get("ran_with")):
                found[step] += ran["seconds"]
    return found


def write_images(source: Path, count: int) -> None:
    """Random images in CIFAR-10's form."""
    source.mkdir(parents=True)
    records = np.random.default_rng(0).integers(0, 256, (count, 1 + 3 * 32 * 32), np.uint8)
    records[:, 0] %= 10  # the label
    records.tofile(source / "data_batch_1.bin")

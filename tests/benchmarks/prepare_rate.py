"""prepare's images a second, against a plain Pillow loop in one process times the number of workers (no goal given).

By processor time all workers' time counts, and the ratio is one a worker as it stands.
"""

from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from tests.benchmarks.pictures import write_pictures
from tests.benchmarks.turns import Work, in_turns
from unecho.components.config import resolve
from unecho.components.plan.step import plan
from unecho.components.prepare.step import prepare
from unecho.components.progress import Silent
from unecho.components.run import Run

PAIRS = 5


def benchmark() -> None:
    for kind, images, side, resolution in (("JPEG", 3000, 256, 64), ("PNG", 20_000, 32, 32)):
        with TemporaryDirectory(prefix="unecho-bench-") as folder:
            source = Path(folder, "source")
            source.mkdir()
            write_pictures(source, images, side, kind)
            for workers in (1, 2):
                ours = _prepare(source, Path(folder), resolution, workers)
                turns = in_turns(ours, _plain(source, resolution), PAIRS)
                wall, plain = turns.seconds("wall")
                print(
                    f"  {images} {kind} of {side} px to {resolution}, {workers} workers: {images / wall:.0f} a second, "
                    f"the loop {images / plain:.0f}: {plain / wall / workers:.2f}x a worker by wall; "
                    f"{turns.inverse('cpu')}",
                    flush=True,
                )


def _prepare(source: Path, folder: Path, resolution: int, workers: int) -> Work:
    """Each go is a run in a root of its own, so that nothing is found to be prepared already."""
    numbers = count()

    def work() -> None:
        run = Run.at(str(folder / f"root-{workers}-{next(numbers)}"), "x")
        settings = (
            f"data.source={source}",
            f"data.resolution={resolution}",
            "data.channels=3",
            f"execution.workers={workers}",
        )
        plan(run, resolve(settings=settings))
        prepare(run, Silent())

    return work


def _plain(source: Path, resolution: int) -> Work:
    def work() -> None:
        for path in sorted(source.iterdir()):
            image = Image.open(path).convert("RGB")
            if image.size != (resolution, resolution):
                image = image.resize((resolution, resolution), Image.Resampling.LANCZOS)
            np.asarray(image)

    return work

"""prepare's peak memory with 10,000 and with 100,000 images (goal: flat, but for each image's name and digest)."""

from pathlib import Path
from tempfile import TemporaryDirectory

from tests.benchmarks.memory import MIB, in_own_process
from tests.benchmarks.pictures import write_pictures
from tests.benchmarks.turns import Work
from unecho.components.config import resolve
from unecho.components.plan.step import plan
from unecho.components.prepare.step import prepare
from unecho.components.progress import Silent
from unecho.components.run import Run

FEW, MANY = 10_000, 100_000
PIXELS = 3 * 32 * 32


def benchmark() -> None:
    peaks = {}
    for images in (FEW, MANY):
        with TemporaryDirectory(prefix="unecho-bench-") as folder:
            source = Path(folder, "source")
            source.mkdir()
            write_pictures(source, images, 32, "PNG")
            used = in_own_process(_ready, folder)
        peaks[images] = used.peak
        print(f"  {images:,} PNG of 32 px, {images * PIXELS / MIB:.0f} MiB of pixels: {used}", flush=True)
    more = peaks[MANY] - peaks[FEW]
    print(
        f"  {peaks[MANY] / peaks[FEW]:.2f}x the peak for 10x the images, {more / (MANY - FEW):.0f} bytes an image more"
    )


def _ready(folder: str) -> Work:
    """One worker, so that reading, decoding and packing are all in the process that is measured."""
    run = Run.at(f"{folder}/root", "x")
    plan(run, resolve(settings=(f"data.source={folder}/source", "execution.workers=1")))
    return lambda: prepare(run, Silent())

"""A batch from the packed shard, against a torch DataLoader over image files (goal: at least 10x as fast)."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from tests.benchmarks.pictures import write_pictures
from tests.benchmarks.turns import Work, in_turns
from unecho.components.config import resolve
from unecho.components.data import Dataset
from unecho.components.plan.step import plan
from unecho.components.prepare.step import prepare
from unecho.components.progress import Silent
from unecho.components.run import Run
from unecho.components.train.held import HeldRows, StreamedRows

BATCH, PAIRS = 128, 5
CPU = torch.device("cpu")


def benchmark() -> None:
    torch.set_num_threads(1)
    for kind, images, side, resolution in (("PNG", 8192, 32, 32), ("JPEG", 2048, 256, 64)):
        with TemporaryDirectory(prefix="unecho-bench-") as folder:
            source = Path(folder, "source")
            source.mkdir()
            write_pictures(source, images, side, kind)
            print(f"  {kind} of {side} px, batches of {BATCH} of {resolution} px:")
            _compare(source, _packed(source, folder, resolution), resolution)


def _packed(source: Path, folder: str, resolution: int) -> Dataset:
    run = Run.at(f"{folder}/root", "x")
    size = f"data.resolution={resolution}"
    plan(run, resolve(settings=(f"data.source={source}", size, "data.held_out=0", "execution.workers=1")))
    return Dataset.open(run.store, prepare(run, Silent()).digest)


def _compare(source: Path, dataset: Dataset, resolution: int) -> None:
    def read(rows: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(dataset.rows(rows))

    with ThreadPoolExecutor(4) as pool:
        held = HeldRows(read, dataset.train_rows, CPU)
        streamed = StreamedRows(read, dataset.train_rows, CPU, pool)
        for workers in (0, 2):
            loader = DataLoader(
                _Files(source, resolution), BATCH, shuffle=True, num_workers=workers, persistent_workers=workers > 0
            )
            for name, images in (("held", held), ("streamed", streamed)):
                turns = in_turns(epoch(images, dataset.count), lambda loader=loader: sum(map(len, loader)), PAIRS)
                ours, other = (1000 * seconds * BATCH / dataset.count for seconds in turns.seconds("wall"))
                # what a loader's workers spend is told only when they end
                ratios = turns.inverse("wall") if workers else f"{turns.inverse('cpu')}; {turns.inverse('wall')}"
                print(
                    f"    {name}, the loader with {workers} worker processes: {ratios}; "
                    f"{ours:.2f} ms against {other:.1f} ms",
                    flush=True,
                )


def epoch(images: HeldRows | StreamedRows, count: int) -> Work:
    """All batches of a permutation, with four asked for ahead, as the training step does."""

    def work() -> None:
        batches = torch.randperm(count, generator=torch.Generator().manual_seed(0)).split(BATCH)
        for ahead in batches[:4]:
            images.expect(ahead)
        for number, batch in enumerate(batches):
            images.take(batch)
            if number + 4 < len(batches):
                images.expect(batches[number + 4])

    return work


class _Files(TorchDataset):
    """Image files, as most training scripts read them."""

    def __init__(self, source: Path, resolution: int) -> None:
        self._paths, self._size = sorted(source.iterdir()), (resolution, resolution)

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, number: int) -> torch.Tensor:
        image = Image.open(self._paths[number]).convert("RGB")
        if image.size != self._size:
            image = image.resize(self._size, Image.Resampling.LANCZOS)
        return torch.from_numpy(np.array(image)).permute(2, 0, 1)

"""Trees of images made by the tests, and one call that prepares them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unecho.components.config import resolve
from unecho.components.data import Dataset
from unecho.components.plan.step import plan
from unecho.components.prepare import step
from unecho.components.progress import Silent
from unecho.components.run import DatasetRecord, Run
from unecho.components.store import Store
from unecho.components.store.directory import DirectoryStore


@dataclass
class Prepared:
    run: Run
    record: DatasetRecord
    dataset: Dataset

    def names(self) -> list[str]:
        return [self.dataset.name(row) for row in range(self.dataset.count)]

    def images(self) -> np.ndarray:
        return self.dataset.rows(range(self.dataset.count))


Prepare = Callable[..., Prepared]


@pytest.fixture
def prepare(tmp_path: Path) -> Prepare:
    """prepare(source, "data.resolution=8", ..., root=..., store=...) in a run of its own."""
    runs = iter(range(1000))

    def call(source: Path | str, *settings: str, root: str = "root", store: Store | None = None) -> Prepared:
        run = Run(store or DirectoryStore(tmp_path / root), f"run-{next(runs)}")
        plan(run, resolve(settings=(f"data.source={source}", "msr.enabled=false", *settings)))
        record = step.prepare(run, Silent())
        return Prepared(run, record, Dataset.open(run.store, record.digest))

    return call


@pytest.fixture
def tree(tmp_path: Path) -> Callable[..., Path]:
    """tree({"a/0.png": pixels or bytes or text, ...}) writes files and gives their folder."""

    def call(files: dict[str, np.ndarray | bytes | str], name: str = "source") -> Path:
        for key, content in files.items():
            path = tmp_path / name / key
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, np.ndarray):
                Image.fromarray(content).save(path)
            else:
                path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return tmp_path / name

    return call


@pytest.fixture
def noise() -> Callable[..., list[np.ndarray]]:
    """noise(12) gives so many different grey images of 8x8; noise(12, 3) RGB ones."""

    def call(count: int, channels: int = 1, size: int = 8, seed: int = 0) -> list[np.ndarray]:
        shape = (count, size, size) if channels == 1 else (count, size, size, channels)
        return list(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))

    return call

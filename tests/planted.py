"""A finished run whose samples are planted: real steps up to model 0, the rest by hand."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from unecho.components.config import resolve
from unecho.components.data import Dataset
from unecho.components.plan.step import plan
from unecho.components.run import (
    Assignment,
    DatasetRecord,
    ModelRecord,
    ProxyRecord,
    RoundFigures,
    Run,
    SamplesRecord,
)
from unecho.components.run.tensors import state_bytes
from unecho.components.steps import run_step

SETTINGS = ("data.train_limit=120", "data.held_out_limit=130", "sample.count=128", "sample.batch_size=64", "threads=1")


def png(images: np.ndarray) -> bytes:
    """A strip of grey images [n, 1, H, W]."""
    out = io.BytesIO()
    Image.fromarray(np.concatenate(list(images[:, 0]), axis=1)).save(out, "PNG")
    return out.getvalue()


def altered(image: np.ndarray) -> np.ndarray:
    """Mirrored, then shifted by a pixel to the right with its edge repeated, [C, H, W]."""
    mirrored = image[:, :, ::-1]
    return np.concatenate([mirrored[:, :, :1], mirrored[:, :, :-1]], axis=2)


@pytest.fixture
def planted(tmp_path: Path) -> Callable[..., Run]:
    """Make a run of two rounds with 40 copies, 20 of them mirrored and shifted, among 128 generated images."""

    def make(*settings: str, name: str = "planted") -> Run:
        run = Run.at(str(tmp_path), name)
        config = resolve("tiny", "iet-agc+", settings=(*SETTINGS, *settings))
        plan(run, config)
        for step in ("prepare", "initialize", "shard"):
            run_step(step, run)
        dataset = Dataset.open(run.store, run.load(DatasetRecord).digest)
        training, held_out = dataset.rows(dataset.train_rows), dataset.rows(dataset.held_out_rows)
        first = run.load(ModelRecord, 0)
        for round in (0, 1):
            figures = RoundFigures(
                round=round, visits=4000, skips=400, augmented=800, steps=100, loss=0.5 - 0.2 * round
            )
            strip = {"preview.png": run.put(ProxyRecord, (round, 0), "preview.png", png(training[4 * round :][:4]))}
            run.commit(
                ProxyRecord(
                    round=round,
                    shard=0,
                    samples=60,
                    global_step=50,
                    figures=figures,
                    objects=strip,
                    ran_with=first.ran_with,
                ),
                round,
                0,
            )
            run.commit(ModelRecord(round=round + 1, objects=first.objects, figures=figures), round + 1)
        run.commit(Assignment(round=1, shard_sizes=[60, 60], moved=24), 1)
        copies = np.stack([training[i] if i % 2 else altered(training[i]) for i in range(40)])
        images = np.concatenate([held_out[:88], copies])[np.random.default_rng(1).permutation(128)]
        for part in (0, 1):
            address, some = (2, part), images[64 * part :][:64]
            tensors = {"images": torch.from_numpy(some.copy())}
            objects = {
                "images.safetensors": run.put(SamplesRecord, address, "images.safetensors", state_bytes(tensors))
            }
            if part == 0:
                objects["preview.png"] = run.put(SamplesRecord, address, "preview.png", png(held_out[:4]))
            run.commit(
                SamplesRecord(round=2, part=part, start=64 * part, stop=64 * part + 64, objects=objects), *address
            )
        return run

    return make

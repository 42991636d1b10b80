"""Assignment 0."""

import time

import numpy as np
import torch

from components.config import RunConfig
from components.failure import Fatal
from components.model import state_bytes
from components.progress import Progress
from components.run import Assignment, Run, ran_with
from components.run.data import open_dataset
from components.shard.stratify import stratify


def step(run: Run, round: int | None, index: int | None, progress: Progress) -> Assignment:
    """Commit assignment 0: every training sample in one shard, every held-out one in none.

    Raises:
        Fatal: fewer samples than shards, or a batch that no shard can fill.
    """
    if found := run.find(Assignment, 0):
        return found
    started = time.time()
    config = run.config()
    dataset = open_dataset(run, config)
    rows = dataset.train_rows
    check_sizes(config, len(rows))
    shard = np.full(dataset.count, -1, np.int32)
    shard[rows] = stratify(rows, dataset.labels, config.iet.shards, config.seed)
    tensors = {"shard": torch.from_numpy(shard), "augment_next": torch.zeros(dataset.count, dtype=torch.bool)}
    objects = {"assignment.safetensors": run.put(Assignment, (0,), "assignment.safetensors", state_bytes(tensors))}
    sizes = np.bincount(shard[rows], minlength=config.iet.shards).tolist()
    return run.commit(Assignment(round=0, shard_sizes=sizes, objects=objects, ran_with=ran_with(started)), 0)


def check_sizes(config: RunConfig, samples: int) -> None:
    """Whether so many training samples fill the shards and the batches.

    Raises:
        Fatal: names the field.
    """
    shards, batch = config.iet.shards, config.train.batch_size
    if samples < shards:
        raise Fatal(f"iet.shards: {shards} is more than the {samples} training samples: choose at most {samples}")
    if config.train.drop_last and batch > samples // shards:
        raise Fatal(
            f"train.batch_size: {batch} is more than a shard's {samples // shards} samples, and train.drop_last leaves "
            f"smaller batches out: choose at most {samples // shards}, or set train.drop_last=false"
        )

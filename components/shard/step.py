"""Assignment 0."""

import time

import numpy as np
import torch

from ..config.counts import check_counts
from ..method.shards import stratify
from ..progress import Progress
from ..run import Assignment, Run, ran_with
from ..run.forgotten_proof import prove_forgotten
from ..run.tensors import state_bytes


def shard(run: Run, progress: Progress) -> Assignment:
    """Commit assignment 0: every training sample in one shard, every held-out one in none.

    Raises:
        Fatal: too few images for the shards, the batches or the measures; names the field. Or a sample that was to be
            forgotten is there; names it.
    """
    if found := run.find(Assignment, 0):
        return found
    started = time.time()
    plan = run.plan()
    config = plan.config
    dataset = run.dataset(config)
    prove_forgotten(run, plan, dataset)  # before anything trains
    rows = dataset.train_rows
    check_counts(config, len(rows), len(dataset.held_out_rows))
    shard = np.full(dataset.count, -1, np.int32)
    shard[rows] = stratify(rows, dataset.labels, config.iet.shards, config.seed)
    tensors = {"shard": torch.from_numpy(shard), "augment_next": torch.zeros(dataset.count, dtype=torch.bool)}
    objects = {"assignment.safetensors": run.put(Assignment, (0,), "assignment.safetensors", state_bytes(tensors))}
    sizes = np.bincount(shard[rows], minlength=config.iet.shards).tolist()
    return run.commit(Assignment(round=0, shard_sizes=sizes, objects=objects, ran_with=ran_with(started)), 0)

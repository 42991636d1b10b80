"""The assignment of the next round."""

import time

import numpy as np
import torch

from ..config import RunConfig
from ..method.reassign import reassign
from ..progress import Progress
from ..run import Assignment, ProxyRecord, Run, ran_with
from ..run.tensors import load_state, state_bytes


def redistribute(run: Run, round: int, progress: Progress) -> Assignment:
    """Commit assignment `round` + 1: samples moved where MSR says so, flags taken over from the proxies.

    The statistics decide alone: no image and no model is read. It does not depend on how many rounds are
    planned: nothing reads the assignment after the last one until the run grows, and then it is the one that
    a run planned longer has.

    Raises:
        Fatal: a proxy is missing or altered.
    """
    if found := run.find(Assignment, round + 1):
        return found
    started = time.time()
    config = run.config()
    tensors = load_state(run.store, run.load(Assignment, round).objects["assignment.safetensors"])
    shard, augment_next = tensors["shard"].numpy(), tensors["augment_next"].numpy()
    visits, skips = np.zeros(len(shard), np.int64), np.zeros(len(shard), np.int64)
    for counted in range(max(0, round + 1 - config.msr.every), round + 1):  # the rounds since samples moved
        for k in range(config.iet.shards):
            proxy = run.load(ProxyRecord, counted, k)
            statistics = load_state(run.store, proxy.objects["statistics.safetensors"])
            rows = statistics["sample"].numpy()
            visits[rows] += statistics["visits"].numpy()
            skips[rows] += statistics["skips"].numpy()
            augment_next[rows] = statistics["augment_next"].numpy()
    after = _moved(config, round, shard, visits, skips)
    new = {"shard": torch.from_numpy(after), "augment_next": torch.from_numpy(augment_next)}
    name = "assignment.safetensors"
    record = Assignment(
        round=round + 1,
        shard_sizes=np.bincount(after[after >= 0], minlength=config.iet.shards).tolist(),
        moved=int((after != shard).sum()),
        objects={name: run.put(Assignment, (round + 1,), name, state_bytes(new))},
        ran_with=ran_with(started),
    )
    return run.commit(record, round + 1)


def _moved(
    config: RunConfig,
    round: int,
    shard: np.ndarray[tuple[int], np.dtype[np.int32]],
    visits: np.ndarray[tuple[int], np.dtype[np.int64]],
    skips: np.ndarray[tuple[int], np.dtype[np.int64]],
) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
    """The shards of the next round; nothing moves without MSR, before its first round and between its rounds."""
    since_first = round - config.msr.start_round
    if not config.msr.enabled or since_first < 0 or since_first % config.msr.every:
        return shard
    rows = np.flatnonzero(shard >= 0)
    after = shard.copy()
    after[rows] = reassign(
        shard[rows],
        visits[rows],
        skips[rows],
        config.iet.shards,
        config.msr.redistribute_fraction,
        config.seed,
        round,
        config.msr.destination,
    )
    return after

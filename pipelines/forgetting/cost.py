"""What it costs a run that it has trained on samples: which of its proxies and models have seen them."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load

from ...components.run import ModelRecord, ProxyRecord, Run
from ...components.store import fetch


@dataclass(frozen=True)
class Cost:
    """Which of a run's training is free of some samples.

    A proxy is not where it has visited one, or has taken over the state of what had: the model that it started from,
    its slot's optimizer and memory bank. A visit that was skipped counts: the bank has learned from it.

    Attributes:
        shards: K; rounds: that were trained, each with K proxies.
        first: the first round in which a proxy visited one; None where none has.
        free_proxies: how many of the proxies are free.
        free_models: numbers of the models that are, model 0 among them.
        kept_models: those of them whose weights are still there.
    """

    shards: int
    rounds: int
    first: int | None
    free_proxies: int
    free_models: list[int]
    kept_models: list[int]

    @property
    def proxies(self) -> int:
        """K x R."""
        return self.shards * self.rounds


def cost_of(run: Run, rows: Collection[int]) -> Cost:
    """Follow rows of the run's data set through its rounds, by the statistics of its proxies.

    A round that was not trained to its end does not count.
    """
    iet = run.config().iet
    wanted = np.array(sorted(rows), np.int64)
    slots, free_models, first, free, round = [False] * iet.shards, [0], None, 0, 0
    while proxies := _of_round(run, round, iet.shards):
        started_from = round in free_models
        for shard, proxy in enumerate(proxies):
            visited = _visits(run, proxy, wanted)
            if visited and first is None:
                first = round
            slots[shard] |= visited or (round % iet.average_every == 0 and not started_from)
        free += slots.count(False)
        round += 1
        if not any(slots):
            free_models.append(round)
    kept = [number for number in free_models if _has_weights(run, number)]
    return Cost(iet.shards, round, first, free, free_models, kept)


def _of_round(run: Run, round: int, shards: int) -> list[ProxyRecord]:
    """Its proxies; none where one is missing."""
    found = [proxy for shard in range(shards) if (proxy := run.find(ProxyRecord, round, shard))]
    return found if len(found) == shards else []


def _visits(run: Run, proxy: ProxyRecord, rows: NDArray[np.int64]) -> bool:
    statistics = load(fetch(run.store, proxy.objects["statistics.safetensors"]))
    return bool(statistics["visits"][np.isin(statistics["sample"], rows)].any())


def _has_weights(run: Run, number: int) -> bool:
    record = run.find(ModelRecord, number)
    ref = record.objects.get("raw.safetensors") if record else None
    return ref is not None and run.store.stat(ref.key) is not None

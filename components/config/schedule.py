"""How long training is: optimizer steps and sample visits, from the configuration and the size of a shard."""

from unecho.components.config.fields import RunConfig


def shard_sizes(config: RunConfig, samples: int) -> list[int]:
    """Samples of each shard of `samples` training samples: they differ by at most one, the larger first."""
    shards = config.iet.shards
    return [samples // shards + (k < samples % shards) for k in range(shards)]


def batch_size(config: RunConfig, samples: int) -> int:
    """Samples of a full batch of a shard of `samples`."""
    return min(config.train.batch_size, samples)


def steps_per_epoch(config: RunConfig, samples: int) -> int:
    """Optimizer steps that one pass over a shard of `samples` takes."""
    batch = batch_size(config, samples)
    return samples // batch if config.train.drop_last else -(-samples // batch)


def steps_per_round(config: RunConfig, samples: int) -> int:
    """Optimizer steps of a proxy in one round."""
    return config.iet.local_steps or (config.iet.local_epochs or 0) * steps_per_epoch(config, samples)


def planned_visits(config: RunConfig, shard_sizes: list[int]) -> int:
    """Samples seen, with repetition, over all rounds and shards. Steps run through epochs across rounds."""
    total = 0
    for samples in shard_sizes:
        steps, batch = config.iet.rounds * steps_per_round(config, samples), batch_size(config, samples)
        epochs, more = divmod(steps, steps_per_epoch(config, samples))
        total += epochs * min(samples, steps_per_epoch(config, samples) * batch) + more * batch
    return total

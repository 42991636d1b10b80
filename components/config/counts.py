"""How long training is, in steps and visits, and whether a configuration fits its data."""

from ..failure import Fatal
from .fields import RunConfig


def shard_sizes(config: RunConfig, samples: int) -> list[int]:
    """Samples of each shard of `samples` training samples: they differ by at most one, the larger first."""
    shards = config.iet.shards
    return [samples // shards + (k < samples % shards) for k in range(shards)]


def batch_size(config: RunConfig, samples: int) -> int:
    """Samples of a full batch of a shard of `samples`."""
    return min(config.train.batch_size, samples)


def steps_per_epoch(config: RunConfig, samples: int) -> int:
    """Batches that one pass over a shard of `samples` takes."""
    batch = batch_size(config, samples)
    return samples // batch if config.train.drop_last else -(-samples // batch)


def steps_per_round(config: RunConfig, samples: int) -> int:
    """Batches of a proxy in one round: its optimizer steps, at most so many where train.gate is samples."""
    return config.iet.local_steps or (config.iet.local_epochs or 0) * steps_per_epoch(config, samples)


def planned_visits(config: RunConfig, shard_sizes: list[int]) -> int:
    """Samples seen, with repetition, over all rounds and shards. Every round begins an epoch."""
    total = 0
    for samples in shard_sizes:
        batch, per_epoch = batch_size(config, samples), steps_per_epoch(config, samples)
        epochs, more = divmod(steps_per_round(config, samples), per_epoch)
        total += epochs * min(samples, per_epoch * batch) + more * batch
    return config.iet.rounds * total


def check_counts(config: RunConfig, training: int, held_out: int) -> None:
    """Whether there are enough images for the shards, the batches and the measures.

    Args:
        training, held_out: images of the data set.

    Raises:
        Fatal: names the field, its value and what is allowed.
    """
    shards, batch = config.iet.shards, config.train.batch_size
    if training < shards:
        raise Fatal(f"iet.shards: {shards} is more than the {training} training samples: choose at most {training}")
    if config.train.drop_last and batch > training // shards:
        raise Fatal(
            f"train.batch_size: {batch} is more than a shard's {training // shards} samples, train.drop_last leaves "
            f"smaller batches out: choose at most {training // shards}, or set train.drop_last=false"
        )
    if held_out < 2:
        raise Fatal(
            f"data.held_out: {config.data.held_out:g} leaves {held_out} held-out images, without them no figure has "
            "a floor: raise it (or data.held_out_limit)"
        )
    neighbours, k = config.evaluate.neighbours, config.evaluate.precision_recall_neighbours
    if neighbours > training:
        raise Fatal(
            f"evaluate.neighbours: {neighbours} is more than the {training} training images: choose at most {training}"
        )
    least = min(config.sample.count, training, held_out)
    if k >= least:
        raise Fatal(
            f"evaluate.precision_recall_neighbours: {k} needs more than {k} images of each set, and there are "
            f"{config.sample.count} generated, {training} training and {held_out} held-out ones: "
            f"choose at most {least - 1}"
        )

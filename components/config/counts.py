"""How long training is, in steps and visits, and whether a configuration fits its data."""

from typing import Final

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


_WATCH_SHARE: Final = 0.1
"""Most that watching may cost of training, in passes through the network, where watch.every is auto."""
_BACKWARD: Final = 3
"""Passes that a trained sample counts for: the backward pass takes about two forward ones."""
_LEAST_LOOKS: Final = 4
"""Where a rule goes by them."""


def watch_every(config: RunConfig, samples: int) -> int:
    """Every how many rounds the watch looks at the aggregated model; 0 for never.

    Args:
        samples: training samples.
    """
    if config.is_audit or config.watch.every != "auto":
        return 0 if config.is_audit else int(config.watch.every)
    rounds = config.iet.rounds
    affordable = int(_WATCH_SHARE * training_passes(config, samples) / look_passes(config))
    if config.stop.echo or config.release.select == "at_floor":
        affordable = max(affordable, _LEAST_LOOKS)
    return -(-rounds // (affordable + 1)) if affordable else 0  # so many multiples of it lie below `rounds`


def is_watched(config: RunConfig, samples: int, round: int) -> bool:
    """Whether the watch looks at model `round` beside the training of that round.

    Model 0 has not been trained: it is worth a look only where it was pretrained.
    """
    every = watch_every(config, samples)
    return every > 0 and round % every == 0 and (round > 0 or config.model.pretrained is not None)


def looks(config: RunConfig, samples: int) -> int:
    """How many models the watch will have looked at when all rounds are done, the last one included where it must."""
    beside = sum(is_watched(config, samples, round) for round in range(config.rounds))
    return beside + (config.release.select == "at_floor" and not config.is_audit)


def look_passes(config: RunConfig) -> int:
    """Samples that pass through the network for one look."""
    guided = config.model.family == "latents" and config.sample.guidance_scale > 1
    return config.watch.count * config.sample.steps * (2 if guided else 1)


def training_passes(config: RunConfig, samples: int) -> int:
    """The same for all of training, a trained sample counting for three."""
    return _BACKWARD * planned_visits(config, shard_sizes(config, samples))


def part_bounds(config: RunConfig, part: int, count: int | None = None) -> tuple[int, int]:
    """Index of a part's first generated image and of the one after its last: its even share of the whole batches.

    Args:
        count: images of all parts; None for sample.count.
    """
    count = config.sample.count if count is None else count
    size, parts = config.sample.batch_size, config.sample.parts
    batches = -(-count // size)
    first, end = part * batches // parts, (part + 1) * batches // parts
    return min(first * size, count), min(end * size, count)


def floor_count(config: RunConfig, held_out: int) -> int:
    """How many of the held-out images the floor is measured on."""
    limit = config.evaluate.floor_limit
    return held_out if limit is None else min(held_out, limit)


_MANY_TRAINING: Final = 1_000_000
_FEW_IMAGES: Final = 1024
"""To search few in full takes less than to read the training images once more."""


def by_candidates(config: RunConfig, images: int, training: int) -> bool:
    """Whether so many images are sought among candidates of so many training images."""
    if config.evaluate.search == "auto":
        return training > _MANY_TRAINING and images > _FEW_IMAGES
    return config.evaluate.search == "candidates"


_FEWEST_COMPANIONS: Final = 256
_MOST_COMPANIONS: Final = 2048


def companion_count(config: RunConfig) -> int:
    """Images of each companion set; 0 for a model that takes no prompts, and for an audit, whose base is unknown."""
    if config.is_audit or config.model.family != "latents":
        return 0
    if config.sample.companions != "auto":
        return config.sample.companions
    quarter = max(config.sample.count // 4, _FEWEST_COMPANIONS)
    return min(quarter, _MOST_COMPANIONS, config.sample.count)


def check_counts(config: RunConfig, training: int, held_out: int, generated: int | None = None) -> None:
    """Whether there are enough images for the shards, the batches and the measures.

    Args:
        training, held_out: images of the data set.
        generated: images that are audited; None for sample.count.

    Raises:
        Fatal: names the field, its value and what is allowed.
    """
    if not config.is_audit:
        _check_training(config, training, held_out)
    neighbours, k = config.evaluate.neighbours, config.evaluate.precision_recall_neighbours
    if neighbours > training:
        raise Fatal(
            f"evaluate.neighbours: {neighbours} is more than the {training} training images: choose at most {training}"
        )
    made = config.sample.count if generated is None else generated
    least = min(made, training, held_out)
    if k >= least and not (config.is_audit and not held_out):  # without them quality has no reference
        raise Fatal(
            f"evaluate.precision_recall_neighbours: {k} needs more than {k} images of each set, and there are "
            f"{made} generated, {training} training and {held_out} held-out ones: "
            f"choose at most {least - 1}"
        )


def _check_training(config: RunConfig, training: int, held_out: int) -> None:
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

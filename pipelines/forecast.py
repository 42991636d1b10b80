"""What a run would do, worked out from its configuration alone."""

import math
from dataclasses import dataclass, field

from ..components.config import RunConfig
from ..components.config.counts import planned_visits, shard_sizes, steps_per_round
from ..components.diffusion import family_of

_BYTES = 4  # a float32
_MUCH = 0.01
"""Share of the first weights in an average, above which it is warned of."""


@dataclass(frozen=True)
class Forecast:
    """A run in numbers.

    Attributes:
        samples: training samples that it was worked out for.
        parameters: of the network.
        rounds, shards, parts: how often its steps run.
        steps_per_round: optimizer steps of the largest shard's proxy.
        visits: samples seen, with repetition, over all rounds and shards.
        weights_peak: most bytes of weights, optimizer state and checkpoints in the store at once.
        weights_without_retention: the same if nothing were retired.
        images: bytes of the packed and of the generated images.
        warnings: what one should think about, a line each.
    """

    samples: int
    parameters: int
    rounds: int
    shards: int
    parts: int
    steps_per_round: int
    visits: int
    weights_peak: int
    weights_without_retention: int
    images: int
    warnings: list[str] = field(default_factory=list)


def forecast(config: RunConfig, samples: int, held_out: int, channels: int, resolution: int) -> Forecast:
    """Work a run out.

    Args:
        samples: training samples; held_out: the others.
        channels, resolution: the data set's shape.

    Raises:
        Fatal: the network does not fit the resolution.
    """
    import torch

    family = family_of(config)
    with torch.device("meta"):  # shapes only
        network = family.trainable(family.base(channels, resolution))
    parameters = sum(p.numel() for p in network.parameters())
    rounds, shards = config.iet.rounds, config.iet.shards
    sizes = shard_sizes(config, samples)
    model, proxy = 2 * _BYTES * parameters, 4 * _BYTES * parameters
    kept = min(rounds, config.execution.keep_rounds)
    running = min(shards, config.execution.parallelism)
    return Forecast(
        samples=samples,
        parameters=parameters,
        rounds=rounds,
        shards=shards,
        parts=config.sample.parts,
        steps_per_round=steps_per_round(config, max(sizes)),
        visits=planned_visits(config, sizes),
        # the models of the kept rounds and the next one, their proxies, and two checkpoints of each that trains
        weights_peak=(kept + 1) * model + kept * shards * proxy + 2 * running * proxy,
        weights_without_retention=(rounds + 1) * model + rounds * shards * proxy,
        images=(samples + held_out + config.sample.count) * channels * resolution**2,
        warnings=warnings_of(config, samples, held_out),
    )


def warnings_of(config: RunConfig, samples: int, held_out: int) -> list[str]:
    """What one should think about before a run, a line each.

    Args:
        samples: training samples; held_out: the others.
    """
    warnings, smallest = [], min(shard_sizes(config, samples))
    if held_out < 2:
        warnings.append(
            f"data.held_out: {held_out} held-out images: there is no floor to compare with; hold out some hundreds"
        )
    elif held_out < 500:
        warnings.append(f"data.held_out: {held_out} held-out images make a coarse floor; some hundreds are better")
    if config.evaluate.neighbours * 4 > samples:
        warnings.append(
            f"evaluate.neighbours: {config.evaluate.neighbours} of {samples} training images are a large share: "
            "MQ saturates; lower it"
        )
    if config.sample.count < 500:
        warnings.append(f"sample.count: {config.sample.count} images make wide intervals")
    if config.train.drop_last and smallest % min(config.train.batch_size, smallest) > smallest // 4:
        warnings.append(
            f"train.drop_last: an epoch leaves out {smallest % config.train.batch_size} of a shard's {smallest} samples"
        )
    if config.sample.weights == "ema" and (share := share_of_first_weights(config, samples)) > _MUCH:
        steps = config.iet.rounds * steps_per_round(config, smallest)
        warnings.append(
            f"train.ema_decay: an average of decay {config.train.ema_decay} still holds much of the first weights "
            f"after {steps} steps, {share:.0%}: lower it, or set train.ema_warmup"
        )
    return warnings


def share_of_first_weights(config: RunConfig, samples: int) -> float:
    """How much of the released average is the weights that training began with: the product of all its decays.

    Args:
        samples: training samples; the smallest shard's slot counts.
    """
    steps = config.iet.rounds * steps_per_round(config, max(1, min(shard_sizes(config, samples))))
    if not config.train.ema_warmup:
        return config.train.ema_decay**steps
    longest = min(steps, 1000)  # of the first weights 1e-22 is left by then
    return math.prod(min(config.train.ema_decay, (1 + step) / (10 + step)) for step in range(longest))

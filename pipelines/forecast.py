"""What a run would do, worked out from its configuration alone."""

import math
from dataclasses import dataclass, field

from ..components.config import RunConfig
from ..components.config.counts import (
    companion_count,
    floor_count,
    look_passes,
    looks,
    planned_visits,
    shard_sizes,
    steps_per_round,
    training_passes,
    watch_every,
)
from ..components.diffusion import trainable_family_of
from ..components.diffusion.family import Base, Pretrained
from ..components.measures.verdict import Power, power
from ..components.method.augment import image_variants
from ..components.report.wording import pixels_alone
from ..components.run.companions import Companion, planned_companions

_BYTES = 4  # a float32
_MUCH = 0.01
"""Share of the first weights in an average, above which it is warned of."""
FLOOR, COPIES, _OFTEN = 0.01, 0.02, 0.9
"""What the verdict's power is told for: a floor, a share of copies; and what is often enough."""
_SHARES_OF_COPIES = (0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5)


@dataclass(frozen=True)
class Forecast:
    """A run in numbers.

    Attributes:
        samples: training samples that it was worked out for.
        parameters: of the network, those that train.
        rounds, shards, parts: how often its steps run.
        steps_per_round: optimizer steps of the largest shard's proxy.
        visits: samples seen, with repetition, over all rounds and shards.
        weights_peak: most bytes of weights, optimizer state and checkpoints in the store at once.
        weights_without_retention: the same if nothing were retired.
        images: bytes of the packed and of the generated images, companions included.
        companions: sets of images that are made beside the run's own; companion_images: of each.
        companion_cost: of all of them, as a share of generating the run's own images.
        reconstructions: bytes of the training images' reconstructions, on the disk of whoever measures; 0 for none.
        encodings: bytes of the encoded images, in all their variants; captions come to that. 0 for a model of pixels.
        floor_images: held-out images that the floor is measured on, of held_out.
        verdict: what it can tell of so many images at a floor of 1 %, of a model of which 2 % are copies; None without
            held-out images.
        seen_from: least share of copies, of a few that were tried, that it accuses in 90 % of runs; None for none.
        watch_every: every how many rounds the watch looks at a model; 0 for never. looks: how often in all.
        watch_cost: of one look, as a share of training, in samples that pass through the network.
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
    companions: list[Companion]
    companion_images: int
    companion_cost: float
    reconstructions: int
    encodings: int
    verdict: Power | None
    seen_from: float | None
    floor_images: int
    held_out: int
    watch_every: int
    looks: int
    watch_cost: float
    warnings: list[str] = field(default_factory=list)


def forecast(
    config: RunConfig,
    samples: int,
    held_out: int,
    channels: int,
    resolution: int,
    pretrained: Pretrained | None = None,
) -> Forecast:
    """Work a run out.

    Args:
        pretrained: what `model.pretrained` names.
        samples: training samples; held_out: the others.
        channels, resolution: the data set's shape.

    Raises:
        Fatal: the network does not fit the resolution.
    """
    import torch

    family = trainable_family_of(config, pretrained)
    with torch.device("meta"):  # shapes only
        base = family.base(channels, resolution)
        network = family.trainable(base)
    parameters = sum(p.numel() for p in network.parameters() if p.requires_grad)
    rounds, shards = config.iet.rounds, config.iet.shards
    sizes = shard_sizes(config, samples)
    model, proxy = 2 * _BYTES * parameters, 4 * _BYTES * parameters
    kept = min(rounds, config.execution.keep_rounds)
    chosen = model if config.release.select == "at_floor" else 0
    running = min(shards, config.execution.parallelism)
    companions, latents = planned_companions(config), config.model.family == "latents"
    made = config.sample.count + len(companions) * companion_count(config)
    alone = pixels_alone(config.model_dump(mode="json"), resolution)
    return Forecast(
        samples=samples,
        parameters=parameters,
        rounds=rounds,
        shards=shards,
        parts=config.sample.parts,
        steps_per_round=steps_per_round(config, max(sizes)),
        visits=planned_visits(config, sizes),
        # the models of the kept rounds, the next one and the one that may be released, their proxies, and two
        # checkpoints of each that trains
        weights_peak=(kept + 1) * model + chosen + kept * shards * proxy + 2 * running * proxy,
        weights_without_retention=(rounds + 1) * model + rounds * shards * proxy,
        images=(samples + held_out + made) * channels * resolution**2,
        companions=companions,
        companion_images=companion_count(config),
        companion_cost=made / config.sample.count - 1,
        reconstructions=samples * channels * resolution**2 * (latents and config.evaluate.reconstructions),
        encodings=encoded_bytes(config, samples, base) if config.encodings else 0,
        floor_images=floor_count(config, held_out),
        held_out=held_out,
        verdict=verdict_power(config, held_out),
        seen_from=next((share for share in _SHARES_OF_COPIES if _accused(config, held_out, share) >= _OFTEN), None),
        watch_every=watch_every(config, samples),
        looks=looks(config, samples),
        watch_cost=look_passes(config) / training_passes(config, samples),
        warnings=warnings_of(config, samples, held_out) + ([alone] if alone else []),
    )


def encoded_bytes(config: RunConfig, samples: int, base: Base) -> int:
    """Bytes of the training images' latents: mean and log-variance of each variant."""
    unet, size = base["unet"], 2 if config.encode.precision == "bfloat16" else _BYTES
    return samples * len(image_variants(config)) * 2 * int(unet["in_channels"]) * int(unet["sample_size"]) ** 2 * size


def verdict_power(
    config: RunConfig, held_out: int, copies: float = COPIES, generated: int | None = None
) -> Power | None:
    """What the verdict can tell of the planned images at a floor of 1 %; None without held-out images.

    Args:
        generated: images that are audited; None for sample.count.
    """
    if held_out < 2:
        return None
    held_out = floor_count(config, held_out)
    figures = len([name for name in config.evaluate.deciding if name != "extraction"])
    return power(generated or config.sample.count, held_out, FLOOR, copies, config.evaluate.margin, max(1, figures))


def _accused(config: RunConfig, held_out: int, copies: float) -> float:
    found = verdict_power(config, held_out, copies)
    return found.copies_accused if found else 0.0


def warnings_of(config: RunConfig, samples: int, held_out: int, generated: int | None = None) -> list[str]:
    """What one should think about before a run or an audit, a line each.

    Args:
        samples: training samples; held_out: the others.
        generated: images that are audited; None for sample.count.
    """
    warnings = []
    if held_out < 2:
        give = "give some hundreds (--held-out)" if config.is_audit else "hold out some hundreds"
        warnings.append(f"data.held_out: {held_out} held-out images: there is no floor to compare with; {give}")
    if config.evaluate.neighbours * 4 > samples:
        warnings.append(
            f"evaluate.neighbours: {config.evaluate.neighbours} of {samples} training images are a large share: "
            "MQ saturates; lower it"
        )
    found, made = verdict_power(config, held_out, generated=generated), generated or config.sample.count
    beside = floor_count(config, held_out)
    if found and min(found.perfect_cleared, found.copies_accused) < _OFTEN:
        warnings.append(
            f"sample.count, data.held_out: with {made:,} generated and {beside:,} held-out images the "
            f"verdict clears a perfect model in {found.perfect_cleared:.0%} of runs and accuses one with "
            f"{COPIES:.0%} copies in {found.copies_accused:.0%} (floor {FLOOR:.0%}): more of both are better"
        )
    return warnings if config.is_audit else warnings + _warnings_of_training(config, samples)


def _warnings_of_training(config: RunConfig, samples: int) -> list[str]:
    warnings, smallest = [], min(shard_sizes(config, samples))
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

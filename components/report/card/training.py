"""What a card says of how the model was trained."""

from ...config import RunConfig
from ...config.fields import AGC, IET
from ...run.released_base import asked_release
from ..figures import Figures
from ..wording import percent, what_trained
from .wording import bullets, hub_base, is_prompted


def training(figures: Figures, config: RunConfig) -> list[str]:
    """From what, by which parts of the method, and how long."""
    return bullets([*_base(figures, config), *_parts(config), *_optimization(config), *_length(figures, config)])


def _base(figures: Figures, config: RunConfig) -> list[str]:
    """The pretrained model, by what its files hold."""
    if config.model.pretrained is None:
        return ["From scratch: no pretrained model."]
    digest, name, asked = figures.provenance.base_sha256, hub_base(config), asked_release(config)
    folder = f"what was released as `{asked.model}` until then" if asked else "a folder in the form of diffusers"
    lines = [
        f"Pretrained model: {f'`{name}`' if name else folder}"
        f"{f'; SHA-256 over its files `{digest}`' if digest else ''}."
    ]
    trained = what_trained(figures.config, figures.rounds)
    return [*lines, f"Trained of it: {trained}."] if trained else lines


def _parts(config: RunConfig) -> list[str]:
    """The four parts of the method."""
    return [
        f"Variant `{config.variant}` of the method, seed {config.seed}.",
        f"IET, iterative ensemble training: {_ensemble(config.iet)}.",
        f"AGC, anti-gradient control: {_skipping(config.agc)}.",
        f"MSR, memory samples redistribute: {_moving(config)}.",
        f"TAA, threshold-aware augmentation: {_augmenting(config)}.",
    ]


def _ensemble(iet: IET) -> str:
    unit, length = ("epochs", iet.local_epochs) if iet.local_epochs else ("steps", iet.local_steps)
    round = f"a round is {length or 0:,} {unit}"
    if iet.shards == 1:
        return f"off, one shard; {round}"
    often = "every round" if iet.average_every == 1 else f"every {iet.average_every} rounds"
    return f"{iet.shards:,} shards with a proxy model each, averaged after {often}; {round} of a proxy"


def _skipping(agc: AGC) -> str:
    if not agc.enabled:
        return "off"
    return f"samples are skipped whose loss is below 1/{agc.skip_ratio:g} of what is usual at their timestep"


def _moving(config: RunConfig) -> str:
    if not config.msr.enabled or config.iet.shards == 1:
        return "off"
    return f"{percent(config.msr.redistribute_fraction)} of the samples, the most skipped, move to another shard"


def _augmenting(config: RunConfig) -> str:
    taa = config.taa
    if not taa.enabled:
        return "off"
    kinds = ", ".join(kind.replace("_", " ") for kind in taa.augmentations)
    if config.train.gate == "samples":
        return f"all samples that train are augmented ({kinds})"
    below = f"below {taa.augment_below:g} times what is usual at their timestep"
    return f"samples whose loss is {below} are augmented ({kinds})"


def _optimization(config: RunConfig) -> list[str]:
    train, noise = config.train, config.noise
    lines = [
        f"Optimizer {train.optimizer}, learning rate {train.learning_rate:g}, batches of {train.batch_size:,}, "
        f"{train.precision}, weights averaged (EMA) with decay {train.ema_decay:g}."
    ]
    if is_prompted(config):  # its noise is the base model's
        return lines
    return [*lines, f"Noise: {noise.timesteps:,} timesteps, {noise.schedule}; the network predicts {noise.prediction}."]


def _length(figures: Figures, config: RunConfig) -> list[str]:
    source = figures.provenance
    stopped = f"; stopped: {source.stopped}" if source.stopped else ""
    lines = [f"{source.rounds:,} of {config.iet.rounds:,} rounds{stopped}."]
    if source.selected and source.released is not None:
        lines += [f"Released is the model after {source.released:,} rounds: {source.selected}."]
    if source.visits is not None and source.planned_visits is not None:
        skipped = f"{percent(source.skipped_share or 0.0)} skipped{'' if config.agc.enabled else ' in count only'}"
        lines += [f"{source.visits:,} of {source.planned_visits:,} planned visits of samples; {skipped}."]
    return lines

"""The model families, behind one small protocol; noise, sampling, the released folder, device.

Import from its files: a step that only moves weights must not wait for diffusers.
"""

from typing import TYPE_CHECKING

from ..config import RunConfig

if TYPE_CHECKING:
    from .family import Family, Pretrained, TrainableFamily
    from .given import Given


def family_of(config: RunConfig, pretrained: "Pretrained | None") -> "Family":
    """The family of the run's model, to sample from it.

    Args:
        pretrained: what `model.pretrained` or `audit.model` names; None where nothing is.

    Raises:
        Fatal: it is not of the family, or cannot be audited; names it.
    """
    return trainable_family_of(config, pretrained) if config.audit.model is None else given_of(config, pretrained)


def given_of(config: RunConfig, pretrained: "Pretrained | None") -> "Given":
    """The pipeline that `audit.model` names; errors are those of `family_of`."""
    from .given import Given

    assert pretrained is not None
    size = config.data.resolution
    return Given(pretrained, config.sample, config.audit.values, None if size == "auto" else size)


def trainable_family_of(config: RunConfig, pretrained: "Pretrained | None") -> "TrainableFamily":
    """The family of a model that trains.

    Args:
        pretrained: what `model.pretrained` names; None where nothing is.

    Raises:
        Fatal: it is not of the family; names it.
    """
    if config.model.family == "latents":
        from .latents import Latents

        return Latents(config, pretrained)
    from .pixels import Pixels

    return Pixels(config, pretrained)

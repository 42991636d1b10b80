"""The model families, behind one small protocol; noise, sampling, the released folder, device.

Import from its files: a step that only moves weights must not wait for diffusers.
"""

from typing import TYPE_CHECKING

from ..config import RunConfig

if TYPE_CHECKING:
    from .family import Family, Pretrained, TrainableFamily


def family_of(config: RunConfig, pretrained: "Pretrained | None") -> "Family":
    """The family of the run's model, to sample from it; arguments and errors are those of `trainable_family_of`."""
    return trainable_family_of(config, pretrained)


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

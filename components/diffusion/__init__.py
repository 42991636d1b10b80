"""The model families, behind one small protocol; noise, sampling, the released folder, device.

Import from its files: a step that only moves weights must not wait for diffusers.
"""

from typing import TYPE_CHECKING

from ..config import RunConfig

if TYPE_CHECKING:
    from .family import Family


def family_of(config: RunConfig) -> "Family":
    """The family of the run's model."""
    from .pixels import Pixels

    return Pixels(config)

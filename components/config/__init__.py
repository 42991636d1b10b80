"""The run's configuration: one typed, documented, bounded model and how it is resolved."""

from .fields import RunConfig, frozen_difference
from .resolve import preset_names, preset_summary, resolve

__all__ = ["RunConfig", "frozen_difference", "preset_names", "preset_summary", "resolve"]

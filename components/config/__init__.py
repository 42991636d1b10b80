"""The run's configuration: one typed, documented, bounded model and how it is resolved."""

from unecho.components.config.fields import RunConfig, frozen_difference
from unecho.components.config.resolve import preset_names, preset_summary, resolve

__all__ = ["RunConfig", "frozen_difference", "preset_names", "preset_summary", "resolve"]

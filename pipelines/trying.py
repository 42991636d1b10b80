"""How often an engine tries a step that has failed, wherever the step runs."""

from typing import Final

TRIES: Final = 4
"""How often a step at one address may fail before its engine gives up."""


class Failed(OSError):
    """A step failed as often as it may: worth another try, later."""

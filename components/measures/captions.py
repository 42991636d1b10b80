"""What the images of a text-to-image model were asked for."""

from typing import Final, Literal

Captions = Literal["training", "held_out", "file", "general"]
"""Captions of training or held-out images, prompts of a file, or general ones: about something else."""
CAPTIONS: Final[dict[Captions, str]] = {
    "training": "training captions",
    "held_out": "held-out captions",
    "file": "a file's prompts",
    "general": "general prompts",
}
"""The same in words."""

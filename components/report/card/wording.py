"""Lines of a card, and what several of its sections say."""

from collections.abc import Iterable

from ...config import RunConfig
from ...run.hub import is_of_hub


def bullets(lines: Iterable[str]) -> list[str]:
    """A list of sentences, each with a capital."""
    return [f"* {escaped(line[:1].upper() + line[1:])}" for line in lines]


def escaped(text: str) -> str:
    """`<` means something in Markdown."""
    return text.replace("<", "&lt;")


def is_prompted(config: RunConfig) -> bool:
    """Whether the model makes images from a text."""
    return config.model.family == "latents"


def hub_base(config: RunConfig) -> str | None:
    """The pretrained model's name on the hub; None where there is none, or it lies elsewhere: where is nobody's
    business.
    """
    address = config.model.pretrained
    return address if address is not None and is_of_hub(address) else None

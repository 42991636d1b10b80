"""How near-copies were sought, as a report has it."""

from pydantic import BaseModel, ConfigDict

from .intervals import Share


class Searched(BaseModel):
    """How near-copies were sought by candidates."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    images: int
    """That were searched for."""
    candidates: int
    """Of each, among the training images."""
    in_full: int
    """Images that were searched among all training images, since the candidates left open what counts."""
    nearest: Share
    """Of a sample that was searched in full: images whose nearest training image, augmentation-aware, was a candidate
    or as near as one."""
    neighbours: Share
    """Of its nearest training images, plain, which MQ's mean goes by: those that were candidates or as near."""

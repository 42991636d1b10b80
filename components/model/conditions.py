"""The threshold-aware augmentations, numbered: what an image had, and what the network is told."""

from dataclasses import dataclass

from unecho.components.config.fields import TAA


@dataclass(frozen=True)
class Augmentation:
    """One augmentation of an image.

    Attributes:
        kind: the configured kind that it belongs to.
        flip: mirrored left to right.
        down, right: shift in pixels, the edge repeated into the gap.
    """

    kind: str
    flip: bool = False
    down: int = 0
    right: int = 0


def augmentations(taa: TAA) -> list[Augmentation]:
    """All that the configuration may draw; condition c > 0 stands for entry c - 1, condition 0 for 'none'."""
    listed = []
    for kind in dict.fromkeys(taa.augmentations):
        if kind == "horizontal_flip":
            listed.append(Augmentation(kind, flip=True))
        elif kind == "shift":
            reach = range(-taa.shift_pixels, taa.shift_pixels + 1)
            listed += [Augmentation(kind, down=y, right=x) for y in reach for x in reach if (y, x) != (0, 0)]
        else:
            listed.append(Augmentation(kind))
    return listed

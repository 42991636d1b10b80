"""How well images fit their texts, beside real images with their own captions and with those of others."""

from collections.abc import Callable, Sequence
from typing import Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .images import Images
from .intervals import Mean
from .quality import spread

MOST: Final = 10_000
"""Images of a set that are looked at, evenly spaced ones: the mean's interval is then a fiftieth of its deviation."""
_BLOCK: Final = 1024


class TextImage(Protocol):
    """A map from images, and one from texts, to unit vectors of one space, see `TextImageModel`."""

    def images(self, images: NDArray[np.uint8]) -> Tensor:
        """uint8 [n, C, H, W] to float32 [n, D]."""

    def texts(self, texts: Sequence[str]) -> Tensor:
        """To float32 [n, D]."""


class Fit:
    """The cosines of images with their texts.

    Attributes:
        texts: of the images that were looked at.
        own: float64 [n], in -1..1, each image with its own text: the CLIP score, unscaled (J. Hessel et al., 2021).
    """

    def __init__(self, texts: Sequence[str], images: Tensor, of_texts: Tensor) -> None:
        """
        Args:
            images, of_texts: unit vectors, float32 [n, D].
        """
        self.texts, self._images, self._of_texts = list(texts), images, of_texts
        self.own = _cosines(images, of_texts)

    @property
    def mean(self) -> Mean | None:
        """None of fewer than two images."""
        return Mean.of_values(self.own, self.texts)

    @property
    def unrelated(self) -> Mean | None:
        """Each image with the text of the next one: where zero lies. None where all texts are the same."""
        texts = np.array(self.texts, object)
        other = np.roll(texts, -1) != texts
        return Mean.of_values(_cosines(self._images, self._of_texts.roll(-1, 0))[other], texts[other].tolist())

    def beyond(self, base: "Fit") -> Mean | None:
        """By how much it is more than that of another model's images of the same texts, image by image."""
        if self.texts != base.texts:
            raise ValueError("the images are not of the same texts")
        return Mean.of_values(self.own - base.own, self.texts)


def fit(
    model: TextImage,
    images: Images,
    texts: Callable[[Sequence[int]], Sequence[str]],
    count: int | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Fit:
    """Look at images and their texts.

    Args:
        texts: of images by their positions.
        count: of the images the first so many; None for all.
        on_progress: called with images done and images in all.
    """
    many = len(images) if count is None else count
    positions = spread(many, min(many, MOST))
    asked, vectors = list(texts(positions.tolist())), []
    for start in range(0, len(positions), _BLOCK):
        vectors.append(model.images(images.take(positions[start : start + _BLOCK])))
        on_progress(min(start + _BLOCK, len(positions)), len(positions))
    distinct = {text: number for number, text in enumerate(dict.fromkeys(asked))}
    of_texts = model.texts(list(distinct))
    return Fit(asked, torch.cat(vectors), of_texts[[distinct[text] for text in asked]])


def _cosines(a: Tensor, b: Tensor) -> NDArray[np.float64]:
    return np.asarray((a.double() * b.double()).sum(dim=1).numpy(), np.float64)

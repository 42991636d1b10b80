"""The training images in the variants that are encoded."""

import torch
from torch import Tensor

from ..config import RunConfig
from ..data import Dataset
from ..method.augment import (
    MAGNITUDE,
    augmentations,
    conditions_by_kind,
    flip_and_shift,
    image_variants,
    randaugment,
    variant_condition,
)
from ..method.streams import seed_of


class Images:
    """Each training image in each variant, by sample, then by variant.

    Attributes:
        variants: V, how many a sample.
    """

    def __init__(self, config: RunConfig, dataset: Dataset) -> None:
        self._dataset, self._listed = dataset, augmentations(config.taa)
        self._by_kind = conditions_by_kind(self._listed)
        self._variants = image_variants(config)
        self.variants = len(self._variants)
        self._randaugmented: dict[int, list[int]] = {}
        for place, variant in enumerate(self._variants):
            if variant.kind == "randaugment":
                self._randaugmented.setdefault(variant.magnitude, []).append(place)

    def __len__(self) -> int:
        """Training samples."""
        return len(self._dataset.train_rows)

    def names(self) -> list[str]:
        """The variants, a name each."""
        return [str(one) for one in self._variants]

    def conditions(self) -> Tensor:
        """The augmentation that each variant of each sample had, by number; int64 [n, V]."""
        rows = self._dataset.train_rows.tolist()
        return torch.tensor([self._conditions(row) for row in rows]).reshape(len(rows), self.variants)

    def _conditions(self, row: int) -> list[int]:
        return [variant_condition(self._by_kind, variant, row) for variant in self._variants]

    def take(self, first: int, stop: int) -> Tensor:
        """All variants of training samples `first` to `stop - 1`, uint8 [(stop - first) V, C, H, W]."""
        rows = self._dataset.train_rows[first:stop]
        plain = torch.from_numpy(self._dataset.rows(rows))
        return torch.cat([self._of_sample(image, int(row)) for image, row in zip(plain, rows, strict=True)])

    def _of_sample(self, image: Tensor, row: int) -> Tensor:
        had = [None if c == 0 else self._listed[c - 1] for c in self._conditions(row)]
        images = image.expand(self.variants, *image.shape)
        for magnitude, places in self._randaugmented.items():
            purpose = "encoded randaugment" + ("" if magnitude == MAGNITUDE else f" of magnitude {magnitude}")
            seeds = {place: seed_of(purpose, row, self._variants[place].number) for place in places}
            images = randaugment(images, seeds, magnitude)
        flip = [variant.flip ^ (one is not None and one.flip) for variant, one in zip(self._variants, had, strict=True)]
        down, right = ([0 if one is None else getattr(one, axis) for one in had] for axis in ("down", "right"))
        return flip_and_shift(images, torch.tensor(flip), torch.tensor(down), torch.tensor(right))

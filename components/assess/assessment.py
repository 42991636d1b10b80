"""A set of generated images, measured: memorization beside its floor, quality beside that of real images."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ..config import RunConfig
from ..config.fields import Data
from ..data.near_duplicates import near_copies
from ..measures.extraction import Extraction, extract
from ..measures.features import Features
from ..measures.images import Images
from ..measures.memorization import Closeness, closeness
from ..measures.quality import compare
from ..measures.quality_figures import Quality
from ..measures.transforms import Transform, stages
from ..measures.verdict import LEVEL, Memorization, beside_floor, judged
from ..progress import Progress
from .memorization import memorization_of
from .quality import quality_of
from .reference import Reference


@dataclass(frozen=True)
class Assessment:
    """What was measured.

    Attributes:
        memorization: every figure, those that decide judged.
        qualities: on each kind of features.
        closeness, floor: of the generated and of the held-out images, plain and then augmentation-aware.
        near: bool [held-out images], those with a near duplicate in the training set.
        attack: what the extraction attack had and found.
        transforms: that the augmentation-aware distance tries, by stage.
    """

    memorization: list[Memorization]
    qualities: list[Quality]
    closeness: list[Closeness]
    floor: list[Closeness]
    near: NDArray[np.bool_]
    attack: Extraction
    transforms: Sequence[Sequence[Transform]]


def assess(
    generated: Images,
    reference: Reference,
    features: Sequence[Features],
    config: RunConfig,
    device: torch.device,
    progress: Progress,
    level: float = LEVEL,
) -> Assessment:
    """Measure generated images.

    Args:
        features: that quality is judged by.
        level: of the accusation, see `judged`.
    """
    allowed, training, held_out = stages(config.taa), reference.training, reference.held_out
    total = len(generated) + len(held_out)

    def measure(images: Images, before: int) -> list[Closeness]:
        def report(done: int) -> None:
            progress.update(before + done, total, "images")

        return closeness(images, training, allowed, config.evaluate, device, report)

    measured, floors = measure(generated, 0), measure(held_out, len(generated))
    found = extract(generated, training, held_out, allowed, config.evaluate, device)
    near = near_copies(held_out, training, config.data.near_duplicate or Data().near_duplicate)
    attack = beside_floor("extraction", True, config.evaluate.extraction, found.hit, found.floor, found.guesses)
    figures = [*memorization_of(config, measured, floors, near), attack]
    return Assessment(
        memorization=judged(figures, config.evaluate.deciding, config.evaluate.margin, level),
        qualities=[_quality(generated, reference, each, config, progress) for each in features],
        closeness=measured,
        floor=floors,
        near=near,
        attack=found,
        transforms=allowed,
    )


def _quality(
    generated: Images, reference: Reference, features: Features, config: RunConfig, progress: Progress
) -> Quality:
    def report(done: int, of: int) -> None:
        progress.update(done, of, f"images by {features.name}")

    compared = compare(generated, reference.training, reference.held_out, features, config.evaluate, report)
    return quality_of(compared, features, config.evaluate.precision_recall_neighbours)

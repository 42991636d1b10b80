"""Generated images of every arm side by side: the same noise in the same place, copies marked."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ...components.assess.instruments import planned_descriptor
from ...components.measures.images import InMemory, Rows
from ...components.measures.likeness import likeness
from ...components.measures.memorization import closeness
from ...components.measures.transforms import stages
from ...components.measures.verdict import copy_threshold
from ...components.report.page import data_uri
from ...components.run.generated import generated_images
from .results import Result

_IMAGES = 24
_SIDE = 48


@dataclass(frozen=True)
class Tile:
    """A picture.

    Attributes:
        uri: None where it is withheld.
        copy: whether some augmentation-aware measure, or the descriptor, takes it for a copy of a training image.
    """

    uri: str | None
    copy: bool


@dataclass(frozen=True)
class Grid:
    """The first images of one run."""

    arm: str
    seed: int
    tiles: list[Tile]


def grids(results: Sequence[Result]) -> list[Grid]:
    """One an arm, of its first seed; none where `report.images` is `none`, no copy where it is `generated`."""
    first: dict[str, Result] = {}
    for result in results:
        first.setdefault(result.entry.arm.name, result)
    return [_grid(result) for result in first.values() if result.entry.config.report.images != "none"]


def real_grid(result: Result) -> Grid:
    """As many held-out images, for comparison."""
    dataset = result.entry.run.dataset(result.entry.config)
    images = dataset.rows(dataset.held_out_rows[:_IMAGES])
    return Grid("real, held out", 0, [Tile(data_uri(image, _SIDE), False) for image in images])


def _grid(result: Result) -> Grid:
    run, config = result.entry.run, result.entry.config
    dataset = run.dataset(config)
    generated = generated_images(run, config, run.released_model(config).round, dataset)
    images = generated.take(np.arange(min(_IMAGES, len(generated))))
    training = Rows(dataset, dataset.train_rows)
    cpu, evaluate = torch.device("cpu"), config.evaluate
    aware = closeness(InMemory(images), training, stages(config.taa), evaluate, cpu)[-1]
    copies = aware.copies(copy_threshold(result.figures.memorization, True), evaluate.second_nearest)
    if descriptor := planned_descriptor(run.plan(), cpu):
        found = likeness({"images": InMemory(images)}, [training], descriptor, cpu)["images"]
        copies |= found.copies(evaluate.descriptor_threshold, evaluate.second_nearest)
    withheld = copies & (config.report.images != "all")
    return Grid(
        result.entry.arm.name,
        result.entry.seed,
        [
            Tile(None if hide else data_uri(image, _SIDE), copy)
            for image, copy, hide in zip(images, copies.tolist(), withheld.tolist(), strict=True)
        ],
    )

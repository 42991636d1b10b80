"""What is compared: generated images, or given ones, with what the model was trained on and what it was not."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..config import RunConfig
from ..failure import Fatal
from ..measures.images import Images, Rows
from ..measures.quality import spread
from ..run import DatasetRecord, ModelRecord, Run
from ..run.generated import generated_images
from ..run.prompts import Prompts
from .reference import Reference, all_of, reference_of

_LOOKED_AT: Final = 512
_DARK: Final = 120
"""Levels below it are out of reach for a model of values 0..1 under -1..1, where 0 comes out as 127.5."""
_FEW: Final = 0.002
_SOME: Final = 0.02


def compared(run: Run, config: RunConfig, model: ModelRecord) -> tuple[Images, Reference]:
    """The generated images, and what they are compared with.

    Raises:
        Fatal: a part is missing or altered, or the images are those of a model of another range of values.
    """
    packed, dataset = run.load(DatasetRecord), run.dataset(config)
    apart = None if packed.held_out_set is None else run.dataset(config, packed.held_out_set)
    reference = reference_of(dataset, apart, config)
    if packed.generated_set is not None:
        return all_of(run.dataset(config, packed.generated_set)), reference
    generated = generated_images(run, config, model.round, dataset)
    if config.audit.model is not None and config.audit.values == "-1..1":
        _check_values(config.audit.model, generated, reference)
    return generated, reference


def own_images(config: RunConfig, prompts: Prompts | None, training: Rows, count: int) -> NDArray[np.int64] | None:
    """The position of the training image whose caption each of `count` images was asked for, -1 for none; None where
    the prompts are no captions of training images.
    """
    if prompts is None or config.sample.prompts != "training":
        return None
    positions = {row: position for position, row in enumerate(training.rows.tolist())}
    return np.array([positions.get(prompts.row(index), -1) for index in range(count)], np.int64)


def _check_values(model: str, generated: Images, reference: Reference) -> None:
    """Whether the model seems to be trained on values 0..1: all its images lie in the upper half of the range."""
    made, real = (_share_of_dark(images) for images in (generated, reference.training))
    if made < _FEW and real > _SOME:
        raise Fatal(
            f"audit.values: -1..1: {made:.1%} of the values that {model} makes lie in the lower half of the range, of "
            f"the training images {real:.0%}: it was trained on values 0..1, as it seems: set audit.values=0..1"
        )


def _share_of_dark(images: Images) -> float:
    some = images.take(spread(len(images), min(len(images), _LOOKED_AT)))
    return float(np.mean(some < _DARK))

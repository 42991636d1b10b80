"""Copies on the plan's descriptor: of generated images, of held-out ones, and of what else is to be withheld."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from ..config import RunConfig
from ..measures.descriptor_figures import DescriptorFigures, similarities_of
from ..measures.descriptors import Descriptor
from ..measures.images import Images, InMemory
from ..measures.intervals import Share
from ..measures.likeness import Likeness, likeness
from ..measures.quality import spread
from ..measures.similarity import described
from ..progress import Progress
from .reference import Reference


def likenesses_of(
    sets: Mapping[str, Images | None],
    reference: Reference,
    descriptor: Descriptor,
    device: torch.device,
    progress: Progress,
    own: NDArray[np.int64] | None,
) -> dict[str, Likeness]:
    """Of those of the sets that hold images, in one pass over the training images.

    Args:
        own: the position of a training image, -1 for none, for each image of the set "generated"; those of "base" are
            of the same prompts in the same order.
    """
    there = {name: images for name, images in sets.items() if images is not None and len(images)}
    return likeness(
        there,
        [reference.training, *reference.views],
        descriptor,
        device,
        {} if own is None else {name: own[: len(there[name])] for name in ("generated", "base") if name in there},
        lambda done, of: progress.update(done, of, "images by the descriptor"),
    )


def found_by_originals(ceiling: Images, reference: Reference, descriptor: Descriptor, threshold: float) -> Share:
    """How many reconstructions of training images are more similar to the image itself than the threshold: what would
    be found of them without further views.

    Args:
        ceiling: of `perfect_copies`.
    """
    originals = reference.training.take(spread(len(reference.training), len(ceiling)))
    similarity = (described(ceiling, descriptor) * described(InMemory(originals), descriptor)).sum(dim=1)
    return Share.counted(int((similarity > threshold).sum()), len(ceiling))


def figures_of(
    descriptor: Descriptor, config: RunConfig, measured: Mapping[str, Likeness], floor: Likeness | None
) -> DescriptorFigures:
    """The similarities of the sets "generated" and, where there is one, "base", beside those of held-out images."""
    threshold, preparation = config.evaluate.descriptor_threshold, descriptor.preparation
    shown = [name for name in ("generated", "base") if name in measured]
    largest, own = (
        {name: similarities_of(getattr(measured[name].similar, values), threshold) for name in shown}
        for values in ("largest", "own")
    )
    assert largest["generated"] is not None  # there are generated images
    return DescriptorFigures(
        file=descriptor.name,
        digest=descriptor.digest,
        transform=preparation.name,
        size=preparation.size,
        mean=list(preparation.mean),
        std=list(preparation.std),
        threshold=threshold,
        generated=largest["generated"],
        held_out=similarities_of(floor.similar.largest, threshold) if floor else None,
        base=largest.get("base"),
        own=own["generated"],
        own_base=own.get("base"),
    )

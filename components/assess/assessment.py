"""A set of generated images, measured: memorization beside its floor, quality beside that of real images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from ..config import RunConfig
from ..config.counts import by_candidates
from ..config.fields import Data
from ..data.near_duplicates import near_copies
from ..measures.candidates import closeness_by_candidates
from ..measures.descriptor_figures import DescriptorFigures
from ..measures.exact import exact
from ..measures.extraction import Extraction, extract
from ..measures.features import Features
from ..measures.images import Images
from ..measures.likeness import Likeness
from ..measures.memorization import Closeness, closeness_of
from ..measures.quality import compare, distance_to_training
from ..measures.quality_figures import AgainstTraining, Quality
from ..measures.search_figures import Searched
from ..measures.transforms import Transform, stages
from ..measures.verdict import LEVEL, Memorization, beside_floor, judged
from ..progress import Progress
from .beside import Beside, BesideCloseness
from .instruments import Instruments
from .likeness import figures_of, found_by_originals, likenesses_of
from .memorization import copies_of, memorization_of
from .prompted import Prompted
from .quality import quality_of
from .reference import Reference


@dataclass(frozen=True)
class Floor:
    """What held-out images have: the same at every look at a model.

    Attributes:
        closeness: to the training images, plain and then augmentation-aware.
        near: bool [held-out images], those with a near duplicate in the training set.
        likeness: to the training images on the copy descriptor; None without one, and without held-out images.
        views: of the training images, among which they were sought.
    """

    closeness: list[Closeness]
    near: NDArray[np.bool_]
    likeness: Likeness | None = None
    views: int = 1


@dataclass(frozen=True)
class Assessment:
    """What was measured.

    Attributes:
        memorization: every figure, those that decide judged.
        qualities: on each kind of features; none without held-out images, which are the reference.
        against_training: in their place then.
        closeness: of the generated images, plain and then augmentation-aware.
        attack: what the extraction attack had and found; None where it was not asked for.
        transforms: that the augmentation-aware distance tries, by stage.
        likeness: of the generated images, on the copy descriptor; `likeness_also`: of those that were given also; None
            without a descriptor.
        descriptor: the figures of it.
        searched: how near-copies were sought by candidates; None where all were sought among all training images.
    """

    memorization: list[Memorization]
    qualities: list[Quality]
    against_training: list[AgainstTraining]
    closeness: list[Closeness]
    floor: Floor
    attack: Extraction | None
    transforms: Sequence[Sequence[Transform]]
    likeness: Likeness | None = None
    likeness_also: Likeness | None = None
    descriptor: DescriptorFigures | None = None
    searched: Searched | None = None


_NOTHING: Final = Beside()


@exact()
def assess(
    generated: Images,
    reference: Reference,
    instruments: Instruments,
    config: RunConfig,
    device: torch.device,
    progress: Progress,
    *,
    floor: Floor | None = None,
    beside: Beside = _NOTHING,
    attack: bool = True,
    level: float = LEVEL,
    own: NDArray[np.int64] | None = None,
    also: Images | None = None,
    judged_by: Prompted | None = None,
) -> Assessment:
    """Measure generated images.

    Args:
        instruments: that images are measured by.
        floor: of an earlier assessment with the same instruments; None to measure it now.
        beside: further sets, for comparison.
        attack: whether the extraction attack is tried though it does not decide.
        level: of the accusation, see `judged`.
        own: the training image whose caption was the prompt, by position, for each generated image; -1 for none.
        also: further images whose likeness is wanted.
        judged_by: images that quality is measured on; None for the generated ones.
    """
    training, held_out = reference.training, reference.held_out
    sets = {"generated": generated, "base": beside.base, "ceiling": beside.ceiling}
    missing = {} if floor else {"held_out": reference.floor}
    near, searched = _closeness(sets | missing, reference, config, device, progress)
    measured = near["generated"]
    floor = floor or _floor(near["held_out"], reference, config)
    others = BesideCloseness(
        base=near.get("base"),
        ceiling=near.get("ceiling"),
        ceiling_pixels=_by_pixels(beside.ceiling, reference, config, device, progress),
    )
    figures, found = memorization_of(config, measured, floor.closeness, floor.near, others), None
    likenesses: dict[str, Likeness] = {}
    if descriptor := instruments.descriptor:
        described = sets | {"also": also} | ({} if floor.likeness else {"held_out": reference.floor})
        likenesses = likenesses_of(described, reference, descriptor, device, progress, own)
        floor = replace(floor, likeness=floor.likeness or likenesses.get("held_out"))
        threshold, ceiling = config.evaluate.descriptor_threshold, beside.ceiling
        by_originals = found_by_originals(ceiling, reference, descriptor, threshold) if ceiling else None
        figures = copies_of(config, likenesses, floor.likeness, floor.near, by_originals) + figures
    if attack or "extraction" in config.evaluate.deciding:
        found = extract(generated, training, reference.floor_images, stages(config.taa), config.evaluate, device)
        by_chance = found.floor if len(held_out) else None
        figures.append(
            beside_floor("extraction", True, config.evaluate.extraction, found.hit, by_chance, found.guesses)
        )
    with_reference = instruments.features if len(held_out) else ()
    without = () if len(held_out) else instruments.features
    return Assessment(
        memorization=judged(figures, config.evaluate.deciding, config.evaluate.margin, level),
        qualities=[_quality(generated, judged_by, reference, each, config, progress) for each in with_reference],
        against_training=[_against_training(generated, reference, each, progress) for each in without],
        closeness=measured,
        floor=floor,
        attack=found,
        transforms=_stages(reference, config),
        likeness=likenesses.get("generated"),
        likeness_also=likenesses.get("also"),
        descriptor=figures_of(descriptor, config, likenesses, floor.likeness) if descriptor else None,
        searched=searched,
    )


def floor_of(reference: Reference, config: RunConfig, device: torch.device, progress: Progress) -> Floor:
    """Measure the held-out images, on pixels: of a latent model as its VAE gives them back."""
    found, _ = _closeness({"held_out": reference.floor}, reference, config, device, progress)
    return _floor(found["held_out"], reference, config)


def _floor(closeness: list[Closeness], reference: Reference, config: RunConfig) -> Floor:
    near = near_copies(reference.floor_images, reference.training, config.data.near_duplicate or Data().near_duplicate)
    return Floor(closeness, near, views=1 + len(reference.views))


def _by_pixels(
    ceiling: Images | None, reference: Reference, config: RunConfig, device: torch.device, progress: Progress
) -> list[Closeness] | None:
    """The ceiling among the training images themselves."""
    found, _ = _closeness({"": ceiling}, replace(reference, views=()), config, device, progress)
    return found.get("")


def _closeness(
    sets: Mapping[str, Images | None],
    reference: Reference,
    config: RunConfig,
    device: torch.device,
    progress: Progress,
) -> tuple[dict[str, list[Closeness]], Searched | None]:
    """Of those of the sets that there are, all at once; and how they were sought where it was by candidates."""
    there = {name: images for name, images in sets.items() if images is not None}
    if not there:
        return {}, None

    def report(done: int, of: int) -> None:
        progress.update(done, of, "training images searched")

    training, ways = reference.training, _stages(reference, config)
    if by_candidates(config, sum(len(images) for images in there.values()), len(training)):
        return closeness_by_candidates(there, training, ways, config.evaluate, device, report, reference.views)
    return closeness_of(there, training, ways, config.evaluate, device, report, reference.views), None


def _stages(reference: Reference, config: RunConfig) -> Sequence[Sequence[Transform]]:
    return stages(config.taa, 1 + len(reference.views))


def _quality(
    generated: Images,
    judged_by: Prompted | None,
    reference: Reference,
    features: Features,
    config: RunConfig,
    progress: Progress,
) -> Quality:
    images = judged_by.images if judged_by else generated
    compared = compare(
        images,
        reference.training,
        reference.held_out,
        features,
        config.evaluate,
        lambda done, of: progress.update(done, of, f"images by {features.name}"),
        published=None if images is generated else generated,
    )
    captions = judged_by.captions if judged_by else None
    return quality_of(compared, features, config.evaluate.precision_recall_neighbours, captions)


def _against_training(
    generated: Images, reference: Reference, features: Features, progress: Progress
) -> AgainstTraining:
    distance = distance_to_training(
        generated,
        reference.training,
        features,
        lambda done, of: progress.update(done, of, f"images by {features.name}"),
    )
    return AgainstTraining(
        features=features.name,
        digest=features.digest,
        name=features.frechet,
        distance=distance,
        images=len(generated),
    )

"""The extraction attack: what somebody who has only the generated images would take for training images."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import pdist, squareform
from scipy.stats import binom

from ..config.fields import Evaluate
from .alike import components, mean_distance
from .images import Images, InMemory
from .intervals import Share
from .neighbours import nearest
from .quality import spread
from .transforms import Transform

_MOST_IMAGES, _MOST_VALUES = 4096, 32 << 20
"""Images and their values of one component that are clustered: all with all, in memory."""


@dataclass(frozen=True)
class Extraction:
    """What the attack found.

    Attributes:
        generated: how many images were generated; `images`: those that it looked at, all but an excess over 4,096
            images that a chain of alike ones joins.
        guesses: groups of them that are alike; each is one guess.
        power: expected share of the training images that would be guessed if the model drew each of its images from
            the training set, all as likely; where it is small, nothing found says nothing.
        hit: training images that some guess is a near-copy of, of all training images.
        floor: the same guesses against held-out images.
    """

    generated: int
    images: int
    guesses: int
    power: float
    hit: Share
    floor: Share


def extract(
    generated: Images,
    training: Images,
    held_out: Images,
    transforms: tuple[tuple[Transform, ...], ...],
    config: Evaluate,
    device: torch.device,
) -> Extraction:
    """Cluster the generated images, take the centre of each cluster for a training image, and count who is hit.

    After Carlini et al., "Extracting Training Data from Diffusion Models" (arXiv 2301.13188, section 4.2): a model
    repeats what it memorized, so generated images that are alike give it away, without a look at the training set.
    A guess hits an image when their squared distance, augmentation-aware, is below `extraction` times the mean one
    from the guess to its `neighbours` nearest training images; held-out images are measured by the same yardstick,
    so that both shares are per image and may be compared whatever the sizes of the two sets.

    Args:
        transforms: stages as `unecho.components.measures.transforms.stages` gives them.
    """
    found, looked_at = centres(generated, config.extraction_alike, config.extraction_repeats, device)
    attack = power(looked_at, len(training), config.extraction_repeats)
    if not len(found):
        nobody = (Share.counted(0, len(images)) for images in (training, held_out))
        return Extraction(len(generated), looked_at, 0, attack, *nobody)

    guesses = InMemory(generated.take(found))
    found_near = nearest(guesses, training, transforms, config.neighbours, device)
    plain, near = found_near[0], found_near[-1]
    reach = config.extraction * plain.distances.mean(axis=1, keepdims=True)  # plain: no yardstick that shrinks with it
    # within reach of a guess are few: that more than `neighbours` were, the nearest would be copies of each other
    hit = np.unique(near.indices[near.distances < reach])

    by_chance = hit[:0]
    if len(held_out):
        denser = -(-len(held_out) // len(training))
        others = nearest(guesses, held_out, transforms, min(len(held_out), config.neighbours * denser), device)[-1]
        by_chance = np.unique(others.indices[others.distances < reach])
    return Extraction(
        generated=len(generated),
        images=looked_at,
        guesses=len(guesses),
        power=attack,
        hit=Share.counted(len(hit), len(training)),
        floor=Share.counted(len(by_chance), len(held_out)),
    )


def power(images: int, training: int, repeats: int) -> float:
    """Probability that one of `training` images comes at least `repeats` times in `images` draws, all as likely."""
    return float(binom.sf(repeats - 1, images, 1 / training))


def centres(images: Images, alike: float, repeats: int, device: torch.device) -> tuple[NDArray[np.int64], int]:
    """Positions of the medoids of groups of images that are alike, ascending, and how many images were looked at.

    Groups are complete-linkage clusters: all pairs of a group are at most `alike` times the mean squared distance
    between two images apart. A cluster lies within a component of the graph of such pairs, so components are found
    among all images, in blocks, and each is clustered by itself.

    Args:
        repeats: least size of a group.
    """
    if len(images) < 2:
        return np.empty(0, np.int64), len(images)
    limit = alike * mean_distance(images)
    component = components(images, limit, device)
    order = np.argsort(component, kind="stable")
    most = min(_MOST_IMAGES, max(2, _MOST_VALUES // images.take(np.arange(1)).size))
    found, left_out = list[int](), 0
    for members in np.split(order, np.flatnonzero(np.diff(component[order])) + 1):
        if len(members) < repeats:
            continue
        if len(members) > most:
            left_out += len(members) - most
            members = members[spread(len(members), most)]
        flat = images.take(members).reshape(len(members), -1).astype(np.float64)
        distances = pdist(flat, "sqeuclidean")
        group = fcluster(linkage(distances, "complete"), limit, "distance")
        square = squareform(distances)
        for number in np.flatnonzero(np.bincount(group) >= repeats):
            mine = np.flatnonzero(group == number)
            found.append(int(members[mine[square[np.ix_(mine, mine)].sum(axis=1).argmin()]]))
    return np.sort(np.array(found, np.int64)), len(images) - left_out

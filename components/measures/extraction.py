"""The extraction attack: what somebody who has only the generated images would take for training images."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import cdist, pdist

from ..config.fields import Evaluate
from .images import Images
from .intervals import Share
from .neighbours import nearest
from .quality import spread
from .transforms import Transform

_MOST_IMAGES, _MOST_VALUES = 4096, 32 << 20
"""What the attack looks at: it compares all with all, in memory."""


@dataclass(frozen=True)
class Extraction:
    """What the attack found.

    Attributes:
        images: generated images that it looked at.
        guesses: groups of them that are alike; each is one guess.
        hit: training images that some guess is a near-copy of, of all training images.
        floor: the same guesses against held-out images.
    """

    images: int
    guesses: int
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
    values = generated.take(np.arange(1)).size
    most = min(len(generated), _MOST_IMAGES, max(2, _MOST_VALUES // values))
    looked_at = generated.take(spread(len(generated), most))
    guesses = looked_at[centres(looked_at, config.extraction_alike, config.extraction_repeats)]
    if not len(guesses):
        nobody = (Share.counted(0, len(images)) for images in (training, held_out))
        return Extraction(len(looked_at), 0, *nobody)

    near = nearest(guesses, training, transforms, config.neighbours, device)[-1]
    reach = config.extraction * near.distances.mean(axis=1, keepdims=True)
    # all that are within reach are among the `neighbours` nearest: the others are farther than the mean of these
    hit = np.unique(near.indices[near.distances < reach])

    denser = -(-len(held_out) // len(training))
    others = nearest(guesses, held_out, transforms, min(len(held_out), config.neighbours * denser), device)[-1]
    by_chance = np.unique(others.indices[others.distances < reach])
    return Extraction(
        images=len(looked_at),
        guesses=len(guesses),
        hit=Share.counted(len(hit), len(training)),
        floor=Share.counted(len(by_chance), len(held_out)),
    )


def centres(images: NDArray[np.uint8], alike: float, repeats: int) -> NDArray[np.int64]:
    """Positions of the medoids of groups of images that are alike, ascending.

    Groups are complete-linkage clusters: all pairs of a group are closer than `alike` times the mean squared
    distance between two images.

    Args:
        images: [n, C, H, W].
        repeats: least size of a group.
    """
    if len(images) < 2:
        return np.empty(0, np.int64)
    flat = images.reshape(len(images), -1).astype(np.float64)
    distances = pdist(flat, "sqeuclidean")
    group = fcluster(linkage(distances, "complete"), alike * distances.mean(), "distance")
    found = []
    for number in np.flatnonzero(np.bincount(group) >= repeats):
        members = np.flatnonzero(group == number)
        found.append(members[cdist(flat[members], flat[members], "sqeuclidean").sum(axis=1).argmin()])
    return np.sort(np.array(found, np.int64))

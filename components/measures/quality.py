"""Measures of quality on named features, each for generated images and for real ones beside them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..config.fields import Evaluate
from .features import Features
from .images import Images
from .kernel import KernelDistance, kernel_distance

_ROWS = 1024
_MANIFOLD = 10_000
"""Most images of a manifold: precision and recall compare all with all. Also of a set that kernel subsets come from."""


@dataclass(frozen=True)
class Moments:
    """Mean [F] and unbiased covariance [F, F] of a set of `count` features, float64."""

    mean: Tensor
    covariance: Tensor
    count: int


@dataclass(frozen=True)
class SetQuality:
    """Images compared with the reference, the held-out real images.

    Attributes:
        frechet: squared Frechet distance, in the features' unit squared; the mean over sets.
        frechet_all: the same of all sets together.
        kernel: kernel distance, of at most 10,000 evenly spaced images of all sets.
        within_reference: images in the reference's manifold, a count (precision).
        covered: reference images in the images' manifold, a count (recall).
    """

    frechet: float
    frechet_all: float
    kernel: KernelDistance
    within_reference: int
    covered: int


@dataclass(frozen=True)
class Compared:
    """Generated images and real training images against the same reference.

    Attributes:
        images: how many training images the Frechet distance saw, and how many generated ones at a time, so that
            the two can be compared with each other.
        sets: how many disjoint sets of generated images; `generated.frechet` is their mean.
        reference: how many reference images the Frechet distance saw.
        manifold: how many images of each set precision and recall saw.
        frechet_training: squared Frechet distance of all of the run's images to all training images: what papers
            publish. A copy of the training set has 0.
    """

    generated: SetQuality
    real: SetQuality
    images: int
    sets: int
    reference: int
    manifold: int
    frechet_training: float


def compare(
    generated: Images,
    training: Images,
    reference: Images,
    features: Features,
    config: Evaluate,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    published: Images | None = None,
) -> Compared:
    """Frechet and kernel distance, precision and recall of both sets.

    The Frechet distance of a sample depends on its size, so generated images enter in as many as there are
    training images, once for each such set that they hold: the mean has the same bias and less noise. That hides
    whether a model has more to give than its training images, so the distance of all of them stands beside it. All
    three sets are equal for precision and recall: evenly spaced ones of the larger sets.

    Args:
        config: `precision_recall_neighbours`, k of the manifolds, is below `manifold_size`.
        on_progress: called with images done and images in all.
        published: that are compared with the training images; None for the generated ones.
    """
    images, neighbours = min(len(generated), len(training)), config.precision_recall_neighbours
    sets = len(generated) // images
    manifold = manifold_size(len(generated), len(training), len(reference))
    total, done = len(generated) + len(training) + len(reference) + len(published or ()), 0

    def collected(source: Images, positions: NDArray[np.int64], most: int = _MANIFOLD) -> _Gather:
        nonlocal done
        gather = _Gather(spread(len(positions), manifold), spread(len(positions), min(len(positions), most)))
        for some in _blocks(source, positions):
            gather.add(features(some))
            done += len(some)
            on_progress(done, total)
        return gather

    gathered = collected(reference, np.arange(len(reference)))
    reference_moments, reference_points, reference_many = gathered.moments(), gathered.chosen(), gathered.chosen(1)
    reference_radii = radii(reference_points, neighbours)
    root = _square_root(reference_moments.covariance)

    def judged(source: Images, sets: int) -> tuple[SetQuality, Moments]:
        evenly = spread(len(source), sets * images)
        found = [collected(source, evenly[first::sets], max(1, _MANIFOLD // sets)) for first in range(sets)]
        points, each = found[0].chosen(), [gather.moments() for gather in found]
        rest = np.setdiff1d(np.arange(len(source)), evenly)
        every = each + ([collected(source, rest, 0).moments()] if len(rest) else [])
        quality = SetQuality(
            frechet=fmean(_frechet(moments, reference_moments, root) for moments in each),
            frechet_all=_frechet(pooled(each), reference_moments, root),
            kernel=kernel_distance(
                torch.cat([gather.chosen(1) for gather in found]),
                reference_many,
                config.kid_subsets,
                config.kid_subset_size,
            ),
            within_reference=within(points, reference_points, reference_radii),
            covered=within(reference_points, points, radii(points, neighbours)),
        )
        return quality, pooled(every)

    (made, made_moments), (real, real_moments) = judged(generated, sets), judged(training, 1)
    if published is not None:
        made_moments = collected(published, np.arange(len(published)), 0).moments()
    distance = frechet_distance(made_moments, real_moments)
    return Compared(made, real, images, sets, len(reference), manifold, distance)


def distance_to_training(
    generated: Images,
    training: Images,
    features: Features,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> float:
    """The squared Frechet distance of all generated images to all training images: `Compared.frechet_training`.

    It is all that can be had without a reference, and a copy of the training set has 0.
    """
    done, total, found = 0, len(generated) + len(training), []
    for source in (generated, training):
        gather = _Gather()
        for some in _blocks(source, np.arange(len(source))):
            gather.add(features(some))
            done += len(some)
            on_progress(done, total)
        found.append(gather.moments())
    return frechet_distance(*found)


def manifold_size(generated: int, training: int, reference: int) -> int:
    """Images of each set that precision and recall compare."""
    return min(generated, training, reference, _MANIFOLD)


def spread(count: int, wanted: int) -> NDArray[np.int64]:
    """`wanted` of `count` positions, evenly spaced, ascending."""
    return np.arange(wanted, dtype=np.int64) * count // max(1, wanted)


def frechet_distance(a: Moments, b: Moments) -> float:
    """|mean_a - mean_b|^2 + Tr(A + B - 2 (A B)^(1/2)), the squared Frechet distance of two Gaussians.

    (A B)^(1/2) has the trace of (B^(1/2) A B^(1/2))^(1/2), which is symmetric: its eigenvalues are real,
    and those that rounding made negative are 0. So it is also right when there are fewer images than
    features and both covariances are singular, where a general matrix square root is not.
    """
    return _frechet(a, b, _square_root(b.covariance))


def _frechet(a: Moments, b: Moments, root_b: Tensor) -> float:
    (values,) = _solved(lambda matrix: (torch.linalg.eigvalsh(matrix),), root_b @ a.covariance @ root_b)
    cross = values.clamp(min=0).sqrt().sum()
    distance = (a.mean - b.mean).square().sum() + a.covariance.trace() + b.covariance.trace() - 2 * cross
    return max(0.0, float(distance))


def _solved(solver: Callable[[Tensor], Sequence[Tensor]], matrix: Tensor) -> list[Tensor]:
    """By LAPACK on the CPU where the device's solver does not converge: CUDA's may fail on what has an eigenvalue many
    times, as the covariance of fewer images than features has 0.
    """
    try:
        found = solver(matrix)
    except torch.linalg.LinAlgError:  # type: ignore[attr-defined]
        found = solver(matrix.cpu())
    return [one.to(matrix.device) for one in found]


def _square_root(covariance: Tensor) -> Tensor:
    values, vectors = _solved(torch.linalg.eigh, covariance)
    root: Tensor = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    return root


class _Gather:
    """Moments of features that come in blocks, and the rows that were asked for."""

    def __init__(self, *positions: NDArray[np.int64]) -> None:
        """
        Args:
            positions: which rows to keep, ascending, counted over all blocks; once for each choice.
        """
        self._positions = [torch.from_numpy(some) for some in positions]
        self._kept: list[list[Tensor]] = [[] for _ in positions]
        self._count = 0

    def add(self, features: Tensor) -> None:
        """float32 [n, F]."""
        values = features.double()
        if not self._count:
            self._origin = values.mean(dim=0)  # near the mean, so that little cancels in the covariance
            self._sum = torch.zeros_like(self._origin)
            self._products = values.new_zeros(values.shape[1], values.shape[1])
        for positions, kept in zip(self._positions, self._kept, strict=True):
            here = (positions >= self._count) & (positions < self._count + len(values))
            kept.append(features[(positions[here] - self._count).to(features.device)])
        values = values - self._origin
        self._sum += values.sum(dim=0)
        self._products.addmm_(values.T, values)
        self._count += len(values)

    def moments(self) -> Moments:
        mean = self._sum / self._count
        spread = self._products - self._count * torch.outer(mean, mean)
        return Moments(self._origin + mean, spread / max(1, self._count - 1), self._count)

    def chosen(self, choice: int = 0) -> Tensor:
        """float32 [rows asked for, F]."""
        return torch.cat(self._kept[choice])


def pooled(sets: Sequence[Moments]) -> Moments:
    """Moments of several sets together."""
    count = sum(m.count for m in sets)
    mean = torch.stack([m.count * m.mean for m in sets]).sum(dim=0) / count
    products = torch.zeros_like(sets[0].covariance)
    for m in sets:
        products += (m.count - 1) * m.covariance + m.count * torch.outer(m.mean - mean, m.mean - mean)
    return Moments(mean, products / max(1, count - 1), count)


def moments(features: Tensor) -> Moments:
    """Moments of features that are all there, [n, F]."""
    gather = _Gather()
    gather.add(features)
    return gather.moments()


def radii(points: Tensor, neighbours: int) -> Tensor:
    """Squared distance of each point to its k-th nearest other point, float64 [n].

    The manifold of improved precision and recall (Kynkaanniemi et al., 2019): the balls with these radii.
    """
    # the point itself is among its nearest, at distance 0
    return torch.cat([d.topk(neighbours + 1, largest=False).values[:, -1] for d in _distances(points, points)])


def within(points: Tensor, manifold: Tensor, squared_radii: Tensor) -> int:
    """How many points lie in a ball of the manifold."""
    # distances are rounded: a copy must be in the ball of its original even when that has no radius
    slack = 1e-9 * manifold.double().square().sum(dim=1).mean()
    return sum(int((d <= squared_radii + slack).any(dim=1).sum()) for d in _distances(points, manifold))


def _distances(a: Tensor, b: Tensor) -> Iterator[Tensor]:
    """Squared distances in blocks of rows, float64 [rows, len(b)]."""
    origin = b.double().mean(dim=0)
    b = b.double() - origin
    b_squares = b.square().sum(dim=1)
    for start in range(0, len(a), _ROWS):
        some = a[start : start + _ROWS].double() - origin
        yield (some.square().sum(dim=1)[:, None] + b_squares - 2 * some @ b.T).clamp_(min=0)


def _blocks(source: Images, positions: NDArray[np.int64]) -> Iterator[NDArray[np.uint8]]:
    for start in range(0, len(positions), _ROWS):
        yield source.take(positions[start : start + _ROWS])

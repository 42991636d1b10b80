"""Closeness to very many training images: candidates that are alike when scaled down, ranked exactly on pixels.

What is counted is what a search in full would count. The mean of a block of pixels tells a part of a distance: by
Cauchy and Schwarz |x - y|^2 is at least a block's size times the squared distance of the means. So the last candidate
says how near all others can be at most (a filter that dismisses nothing falsely: C. Faloutsos et al., "Fast subsequence
matching in time-series databases", 1994), and where that leaves open on which side of a threshold an image is, the
image is searched in full.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..config.fields import Evaluate
from .exact import exact
from .images import Images, Several
from .intervals import Share
from .memorization import Closeness, apart, closeness_among
from .neighbours import Neighbours, held, held_bytes, nearest
from .products import centred
from .quality import spread
from .search_figures import Searched
from .transforms import Transform

_VALUES: Final = 256
"""At most of an image that is scaled down."""
_TIMES: Final = 4
"""Candidates of the plain search, for each neighbour that is averaged over."""
_AWARE: Final = 32
"""Candidates that are tried in every way."""
_SAMPLE: Final = 256
"""Images that are searched in full whatever is known of them, for the recall."""
_BLOCK_BYTES, _PAIR_VALUES = 64 << 20, 1 << 20
_FLOAT_SPAN: Final = 256
"""Squares of differences, at most 255^2 each, whose sum float32 holds exactly."""


def closeness_by_candidates(
    sets: Mapping[str, Images],
    training: Images,
    stages: Sequence[Sequence[Transform]],
    config: Evaluate,
    device: torch.device,
    on_progress: Callable[[int, int], None] = lambda done, of: None,
    views: Sequence[Images] = (),
) -> tuple[dict[str, list[Closeness]], Searched]:
    """Measure several sets of images; the arguments are those of `closeness_of`, and every image is on the same side of
    every threshold of `config` as there.

    The training images are read at most three times: all of them scaled down, those that are candidates, and all of
    them for what is searched in full. Memory is that of `nearest`, with a few kilobytes more an image.
    """
    images = Several(list(sets.values()))
    found = _found(images, (training, *views), stages, config, device, on_progress)
    open_ = ~found.decided(config)
    sample = np.zeros(len(images), np.bool_)
    sample[spread(len(images), min(len(images), _SAMPLE))] = True
    some = np.flatnonzero(open_ | sample)

    def progressed(done: int, of: int) -> None:
        on_progress(2 * len(training) + done * len(training) // of, 3 * len(training))

    full = nearest(_Some(images, some), training, stages, config.neighbours, device, progressed, views=views)
    measured = [found.replaced(stage, some, neighbours) for stage, neighbours in enumerate(full)]
    mine = np.flatnonzero(sample[some])
    searched = Searched(
        images=len(images),
        candidates=found.candidates,
        in_full=int(open_.sum()),
        nearest=_within(found.stages[-1], full[-1], some, mine, 1),
        neighbours=_within(found.stages[0], full[0], some, mine, config.neighbours),
    )
    return apart(closeness_among(measured), sets), searched


def _within(found: Neighbours, full: Neighbours, some: NDArray[np.int64], mine: NDArray[np.int64], k: int) -> Share:
    """How many of the true k nearest of a sample were found, going by their distances."""
    # each that was found is one of the k nearest where it is no farther than the k-th of these
    hits = found.distances[some[mine], :k] <= full.distances[mine, k - 1 : k]
    return Share.counted(int(hits.sum()), hits.size)


@dataclass(frozen=True)
class _Found:
    """What the candidates show.

    Attributes:
        stages: their exact distances, nearest first.
        beyond: what every other training image is away at least, by stage; float64 [M].
        candidates: of each image.
    """

    stages: list[Neighbours]
    beyond: list[NDArray[np.float64]]
    candidates: int

    def decided(self, config: Evaluate) -> NDArray[np.bool_]:
        """Images that are on one side of every threshold, whatever the other training images are; bool [M].

        The i-th nearest distance is at most that of the candidates, and at least the less of it and `beyond`.
        """
        plain, k = self.stages[0].distances.astype(np.float64), config.neighbours
        least = np.minimum(plain, self.beyond[0][:, None])
        decided = np.ones(len(plain), np.bool_)
        for stage, beyond in zip(self.stages, self.beyond, strict=True):
            high = stage.distances[:, 0].astype(np.float64)
            low = np.minimum(high, beyond)
            ratios = (low / _positive(plain[:, :k].mean(axis=1)), high / _positive(least[:, :k].mean(axis=1)))
            for tau in config.thresholds:
                decided &= _beside(tau, *ratios)
            # nearest over second nearest: of the plain distances, or of this stage's and a plain one of another image
            second_low = np.minimum(least[:, 0], low) / _positive(plain[:, 1])
            other = np.where(stage.indices[:, 0] == self.stages[0].indices[:, 0], least[:, 1], least[:, 0])
            known = (high < beyond) & (plain[:, 0] < self.beyond[0])
            second_high = np.minimum(
                plain[:, 0] / _positive(least[:, 1]), high / _positive(np.where(known, other, least[:, 0]))
            )
            decided &= _beside(config.second_nearest**2, second_low, second_high)
        return decided

    def replaced(self, stage: int, some: NDArray[np.int64], full: Neighbours) -> Neighbours:
        """The stage's neighbours, for some images those of a search in full."""
        width = full.distances.shape[1]
        distances, indices = (getattr(self.stages[stage], name)[:, :width].copy() for name in ("distances", "indices"))
        distances[some, : distances.shape[1]] = full.distances[:, : distances.shape[1]]
        indices[some, : indices.shape[1]] = full.indices[:, : indices.shape[1]]
        return Neighbours(distances, indices)


def _beside(threshold: float, low: NDArray[np.float64], high: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which intervals lie on one side of a threshold, whatever is rounded."""
    return np.asarray((low >= threshold * (1 + _ROUNDING)) | (high < threshold * (1 - _ROUNDING)))


_ROUNDING: Final = 1e-9


def _positive(distances: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where all are copies a ratio is 0 / 0: it is called 0, and 0 over anything is."""
    return np.where(distances > 0, distances, 1.0)


@exact()
def _found(
    images: Images,
    seen: Sequence[Images],
    stages: Sequence[Sequence[Transform]],
    config: Evaluate,
    device: torch.device,
    on_progress: Callable[[int, int], None],
) -> _Found:
    count = len(seen[0])
    scaling = _Scaling.of(images)
    small = [[_Small(transform, scaling) for transform in stage] for stage in stages]
    candidates = min(count, _TIMES * config.neighbours)

    def progressed(done: int, of: int) -> None:
        on_progress(done * count // of, 3 * count)

    values = scaling.channels * scaling.height * scaling.width
    queries, views = _ScaledDown(images, scaling, device), seen[1:]
    alike = nearest(queries, seen[0], small, candidates, device, progressed, views=views, read_values=values)
    found, beyond, allowed = list[Neighbours](), list[NDArray[np.float64]](), list[Transform]()
    for stage, transforms in enumerate(stages):
        allowed += transforms
        tried = candidates if not stage else min(candidates, _AWARE)
        others = alike[stage].indices[:, :tried]
        ranked = _ranked(images, seen, others, allowed, device)
        found.append(_not_above(found[0], ranked) if found else ranked)
        last = alike[stage].distances[:, tried - 1]
        beyond.append(scaling.least(last) if tried < count else np.full(len(images), np.inf))
        on_progress(count + (stage + 1) * count // len(stages), 3 * count)
    return _Found(found, beyond, candidates)


def _not_above(plain: Neighbours, aware: Neighbours) -> Neighbours:
    """The nearest plain one is put in front where no candidate of the other ways is as near."""
    nearer = (plain.distances[:, 0] < aware.distances[:, 0])[:, None]

    def put(name: str) -> NDArray[np.int64]:
        first, others = getattr(plain, name)[:, :1], getattr(aware, name)
        return np.where(nearer, np.hstack([first, others[:, :-1]]), others)

    return Neighbours(put("distances"), put("indices"))


@dataclass(frozen=True)
class _Scaling:
    """Means of blocks of pixels: `rows` by `columns` blocks of an image of `height` by `width`."""

    channels: int
    height: int
    width: int
    rows: int
    columns: int

    @classmethod
    def of(cls, images: Images) -> "_Scaling":
        channels, height, width = images.take(np.arange(1)).shape[1:]
        side = max(1, int((_VALUES // channels) ** 0.5))
        return cls(channels, height, width, *(_divisor(pixels, side) for pixels in (height, width)))

    def __call__(self, images: Tensor) -> Tensor:
        """uint8 [n, C, H, W] to uint8 [n, C, rows, columns]. Sums are whole numbers that float32 holds."""
        down, across = (
            _blocks(pixels, blocks, images.device)
            for pixels, blocks in ((self.height, self.rows), (self.width, self.columns))
        )
        size = down.sum(dim=1)[:, None] * across.sum(dim=1)
        at_once = max(1, _PAIR_VALUES // (self.channels * self.height * self.width))
        parts = [
            (down @ images[first : first + at_once].float() @ across.T).div_(size).round_().to(torch.uint8)
            for first in range(0, len(images), at_once)
        ]
        return torch.cat(parts) if parts else images[:, :, : self.rows, : self.columns]

    def least(self, squared: NDArray[np.int64]) -> NDArray[np.float64]:
        """What images are away at least whose scaled-down ones are so far, squared both. A mean is off by half a level
        where it is rounded, so a difference by one.
        """
        values = self.channels * self.rows * self.columns
        size = (self.height // self.rows) * (self.width // self.columns)
        away = np.maximum(np.sqrt(squared) - 1.001 * np.sqrt(values), 0)
        return np.asarray(size * np.square(away), np.float64)


def _divisor(pixels: int, most: int) -> int:
    """Blocks of a side: the most up to `most` that divide it, unless these are few."""
    found = max(blocks for blocks in range(1, min(most, pixels) + 1) if pixels % blocks == 0)
    return found if 2 * found >= min(most, pixels) else min(most, pixels)


def _blocks(pixels: int, blocks: int, device: torch.device) -> Tensor:
    """Which pixels are of which block, [blocks, pixels]; sizes differ by one at most."""
    of = torch.arange(pixels, device=device) * blocks // pixels
    return (of == torch.arange(blocks, device=device)[:, None]).float()


class _Small:
    """A transform of images, and what it gives scaled down."""

    def __init__(self, transform: Transform, scaling: _Scaling) -> None:
        self._transform, self._scaling, self.view = transform, scaling, transform.view

    def __call__(self, images: Tensor) -> Tensor:
        return self._scaling(self._transform(images))


@dataclass(frozen=True)
class _ScaledDown:
    """Images, scaled down as they are read."""

    images: Images
    scaling: _Scaling
    device: torch.device

    def __len__(self) -> int:
        return len(self.images)

    def take(self, positions: NDArray[np.int64]) -> NDArray[np.uint8]:
        taken = torch.from_numpy(self.images.take(positions)).to(self.device)
        return np.asarray(self.scaling(taken).cpu().numpy(), np.uint8)


@dataclass(frozen=True)
class _Some:
    """Some of a set of images."""

    images: Images
    positions: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.positions)

    def take(self, positions: NDArray[np.int64]) -> NDArray[np.uint8]:
        return self.images.take(self.positions[positions])


def _ranked(
    images: Images,
    seen: Sequence[Images],
    others: NDArray[np.int64],
    transforms: Sequence[Transform],
    device: torch.device,
) -> Neighbours:
    """Training images of each image, int64 [M, C], by their exact distances; each is read once for all images."""
    distances = np.empty(others.shape, np.int64)
    width = images.take(np.arange(1)).size
    panel = max(1, held_bytes(device) // width)
    for first in range(0, len(images), panel):
        mine = slice(first, min(first + panel, len(images)))
        queries = held(images, np.arange(mine.start, mine.stop), device)
        distances[mine] = _pairwise(queries, seen, others[mine], transforms, device)
        del queries  # before the next so many are held
    order = np.lexsort((others, distances), axis=1)
    return Neighbours(*(np.take_along_axis(of, order, axis=1) for of in (distances, others)))


def _pairwise(
    queries: Tensor,
    seen: Sequence[Images],
    others: NDArray[np.int64],
    transforms: Sequence[Transform],
    device: torch.device,
) -> NDArray[np.int64]:
    """The least over transforms of the squared distance of each pair, int64 [m, C]."""
    order = np.argsort(others, axis=None, kind="stable")
    asked, found = others.reshape(-1)[order], np.empty(others.size, np.int64)
    wanted, first = np.unique(asked, return_index=True)
    ends = np.append(first[1:], len(asked))
    rows = max(1, _BLOCK_BYTES // queries.shape[1])
    for top in range(0, len(wanted), rows):
        some = slice(top, min(top + rows, len(wanted)))
        blocks = [torch.from_numpy(view.take(wanted[some])).to(device) for view in seen]
        pairs = order[first[some.start] : ends[some.stop - 1]]
        one = torch.from_numpy(pairs // others.shape[1]).to(device)
        other = torch.from_numpy(np.searchsorted(wanted[some], others.reshape(-1)[pairs])).to(device)
        least: Tensor | None = None
        for transform in transforms:
            away = _distances(queries, one, centred(transform(blocks[transform.view])), other)
            least = away if least is None else torch.minimum(least, away)
        assert least is not None  # a stage has ways
        found[pairs] = least.cpu().numpy()
    return found.reshape(others.shape)


def _distances(a: Tensor, one: Tensor, b: Tensor, other: Tensor) -> Tensor:
    """Squared distance of each pair, int64 [pairs]."""
    at_once = max(1, _PAIR_VALUES // a.shape[1])
    found = torch.zeros(len(one), dtype=torch.int64, device=a.device)
    for first in range(0, len(one), at_once):
        some = slice(first, first + at_once)
        apart = a[one[some]].float().sub_(b[other[some]]).square_()
        for left in range(0, a.shape[1], _FLOAT_SPAN):
            found[some] += apart[:, left : left + _FLOAT_SPAN].sum(dim=1).long()
    return found

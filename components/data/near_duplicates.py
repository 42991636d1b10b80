"""Near duplicates: images that differ by less than a fraction of what unrelated images differ by, mirrored ones too.

A picture that was encoded anew, scaled, brightened or given noise keeps its lowest frequencies, to a few thousandths
of their energy, where its pixels differ by ten times as much. So a k-d tree over these finds the candidates in little
time, and the pixels decide.
"""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

_FREQUENCIES = 4
"""Lowest frequencies along each axis: with the mean left out 15 coordinates an image."""
_LOWEST_SHARE, _NOISE = 1 / 40, 32
"""What the lowest frequencies may differ by, of what the pixels may: a fortieth, and in an image of few values twice
their part of white noise, which falls on all D frequencies alike."""
_BLOCK_BYTES = 1 << 20
_READERS = 8
"""Threads that read blocks ahead."""
_QUERIES, _LEAF = 4096, 24
_CANDIDATES = 1 << 18
_NEAREST = 512
"""Most candidates of an image, the nearest ones: a crowd is joined through these."""


class Readable(Protocol):
    """Images of one shape, uint8 [C, H, W] each, read by position."""

    def __len__(self) -> int: ...

    def take(self, positions: NDArray[np.int64]) -> NDArray[np.uint8]: ...


@dataclass(frozen=True)
class _Sketch:
    """What is kept of n images.

    Attributes:
        lowest: their lowest frequencies, the mean left out, float64 [n, F].
        mirrored: sign of each frequency in the mirrored image, float64 [F].
        variation: squared distance of each to its own mean grey level, float64 [n].
        total: sum of the images, int64 [D]; `squares`: sum of their squared lengths.
    """

    lowest: NDArray[np.float64]
    mirrored: NDArray[np.float64]
    variation: NDArray[np.float64]
    total: NDArray[np.int64]
    squares: int


def near_groups(
    images: Readable,
    rows: NDArray[np.int64],
    fraction: float,
    on_progress: Callable[[int, int], None] = lambda done, of: None,
) -> NDArray[np.int64]:
    """Groups of images that a chain of near duplicates joins.

    Two images, each less its mean level, are near duplicates when |x - y|^2 (or that of x and mirrored y) is below
    `fraction` times the least of 2 |x|^2, 2 |y|^2 and the mean squared distance between two images of the set, and
    their lowest frequencies differ by less than a fortieth of that (and than `fraction` of their own energy).
    2 |x|^2 is what unrelated images of such contrast differ by, so pale images are not taken for one; the mean
    distance is less where all images share an outline, as aligned ones do.

    Beside about 250 bytes an image a fixed number of megabytes is used.

    Args:
        images: all of them.
        rows: int64 [n], which to compare, ascending: one of each set of equal ones.
        on_progress: called with how many are compared, of how many.

    Returns:
        int64 [n], the same number for the members of a group: the position in `rows` of its first one.
    """
    sketch = _sketch(images, rows)
    reach = fraction * _yardstick(sketch.variation, _mean_distance([sketch], len(rows)))
    low = _low_reach(sketch, reach, fraction)
    groups = _Sets(len(rows))
    tree = KDTree(sketch.lowest, leafsize=_LEAF)
    for start in range(0, len(rows), _QUERIES):
        on_progress(start, len(rows))
        for mirrored in (False, True):
            queries = _some(sketch, slice(start, start + _QUERIES), mirrored)
            for first, second in _candidates(tree, queries, low[start : start + _QUERIES], low):
                first = first + start
                new = (second > first) & (groups.of(first) != groups.of(second))
                for a, b in _pieces(first[new], second[new], len(sketch.total)):
                    apart = groups.of(a) != groups.of(b)
                    a, b = a[apart], b[apart]
                    distance = _distances(images, rows[a], images, rows[b], mirrored)
                    near = distance < np.minimum(reach[a], reach[b])
                    groups.join(a[near], b[near])
    on_progress(len(rows), len(rows))
    return groups.of(np.arange(len(rows)))


def near_copies(images: Readable, originals: Readable, fraction: float) -> NDArray[np.bool_]:
    """Which images have a near duplicate among others, by the rule of `near_groups` over both together.

    Returns:
        bool [len(images)].
    """
    found = np.zeros(len(images), np.bool_)
    if not len(images) or not len(originals):
        return found
    mine, theirs = (_sketch(some, np.arange(len(some))) for some in (images, originals))
    distance = _mean_distance([mine, theirs], len(images) + len(originals))
    reach, others = (fraction * _yardstick(sketch.variation, distance) for sketch in (mine, theirs))
    low, others_low = _low_reach(mine, reach, fraction), _low_reach(theirs, others, fraction)
    tree = KDTree(mine.lowest, leafsize=_LEAF)
    for start in range(0, len(originals), _QUERIES):
        for mirrored in (False, True):
            queries = _some(theirs, slice(start, start + _QUERIES), mirrored)
            for first, second in _candidates(tree, queries, others_low[start : start + _QUERIES], low):
                new = ~found[second]
                for a, b in _pieces(first[new] + start, second[new], len(mine.total)):
                    near = _distances(originals, a, images, b, mirrored) < np.minimum(others[a], reach[b])
                    found[b[near]] = True
    return found


def _sketch(images: Readable, rows: NDArray[np.int64]) -> _Sketch:
    one = images.take(rows[:1])
    height, width = one.shape[2:]
    down, across = _cosines(height), _cosines(width)
    lowest = np.empty((len(rows), len(down) * len(across) - 1))
    variation = np.empty(len(rows))
    total, squares = 0, 0
    at_once = max(1, _BLOCK_BYTES // one.nbytes)
    for some, block in _blocks(images, rows, at_once):
        flat = block.reshape(len(block), -1).astype(np.float64)
        # whole numbers below 2^53: exact in whatever order they are summed
        square, level = np.einsum("nd,nd->n", flat, flat), flat.sum(axis=1)
        variation[some] = square - level * level / flat.shape[1]
        total, squares = total + flat.sum(axis=0).astype(np.int64), squares + int(square.sum())
        grey = block.sum(axis=1, dtype=np.float64) / np.sqrt(block.shape[1])
        lowest[some] = (down @ grey @ across.T).reshape(len(block), -1)[:, 1:]
    # mirroring turns the sign of odd frequencies
    mirrored = np.tile((-1.0) ** np.arange(len(across)), len(down))[1:]
    return _Sketch(lowest, mirrored, variation, np.asarray(total, np.int64), squares)


def _blocks(images: Readable, rows: NDArray[np.int64], at_once: int) -> Iterator[tuple[slice, NDArray[np.uint8]]]:
    """The rows in order, some read ahead side by side: all pixels come once, and a store may be far."""
    places = [slice(start, start + at_once) for start in range(0, len(rows), at_once)]
    under_way = deque[Future[NDArray[np.uint8]]]()
    with ThreadPoolExecutor(_READERS) as threads:
        try:
            for number, some in enumerate(places):
                while len(under_way) < _READERS and number + len(under_way) < len(places):
                    under_way.append(threads.submit(images.take, rows[places[number + len(under_way)]]))
                yield some, under_way.popleft().result()
        finally:
            threads.shutdown(cancel_futures=True)


def _cosines(length: int) -> NDArray[np.float64]:
    """The first vectors of the orthonormal cosine transform (DCT-II), [up to _FREQUENCIES, length]."""
    frequency = np.arange(min(_FREQUENCIES, length))[:, None]
    waves = np.sqrt(2 / length) * np.cos(np.pi * (np.arange(length) + 0.5) * frequency / length)
    waves[0] /= np.sqrt(2)
    return np.asarray(waves, np.float64)


def _mean_distance(sketches: list[_Sketch], count: int) -> float:
    """Mean squared distance between two of all `count` images, out of sums over them."""
    total = sum(sketch.total for sketch in sketches)
    between = sum(int(value) ** 2 for value in np.asarray(total).tolist())
    squares = sum(sketch.squares for sketch in sketches)
    return 2 * (count * squares - between) / (count * max(1, count - 1))


def _yardstick(variation: NDArray[np.float64], distance: float) -> NDArray[np.float64]:
    return np.minimum(2 * variation, distance)


def _low_reach(sketch: _Sketch, reach: NDArray[np.float64], fraction: float) -> NDArray[np.float64]:
    """Squared distance that the lowest frequencies may have: a share of the pixels', and `fraction` of their own."""
    share = max(_LOWEST_SHARE, _NOISE / len(sketch.total))
    return np.asarray(np.minimum(share * reach, fraction * 2 * np.square(sketch.lowest).sum(axis=1)), np.float64)


def _some(sketch: _Sketch, some: slice, mirrored: bool) -> NDArray[np.float64]:
    return sketch.lowest[some] * sketch.mirrored if mirrored else sketch.lowest[some]


def _candidates(
    tree: KDTree, queries: NDArray[np.float64], squared: NDArray[np.float64], others: NDArray[np.float64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """(query, point) pairs that are within both squared radii, so many at a time that memory is bounded.

    Args:
        squared: of each query; `others`: of each point of the tree.
    """
    radius = np.sqrt(squared)
    counts = tree.query_ball_point(queries, radius, return_length=True)
    few = np.flatnonzero((counts > 0) & (counts <= _NEAREST))
    for piece in np.array_split(few, max(1, int(counts[few].sum()) // _CANDIDATES)):
        if len(piece):
            found = tree.query_ball_point(queries[piece], radius[piece])
            yield _within(tree, queries, others, np.repeat(piece, counts[piece]), np.concatenate(found))
    many = np.flatnonzero(counts > _NEAREST)
    for piece in np.array_split(many, max(1, len(many) * _NEAREST // _CANDIDATES)):
        if len(piece):
            away, found = tree.query(queries[piece], _NEAREST, distance_upper_bound=float(radius[piece].max()))
            here = away <= radius[piece][:, None]
            yield _within(tree, queries, others, np.repeat(piece, here.sum(axis=1)), found[here])


def _within(
    tree: KDTree,
    queries: NDArray[np.float64],
    others: NDArray[np.float64],
    first: NDArray[np.int64],
    second: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The pairs that are within the point's own squared radius too."""
    second = second.astype(np.int64)
    kept = np.square(queries[first] - np.asarray(tree.data)[second]).sum(axis=1) <= others[second]
    return first[kept], second[kept]


def _pieces(
    first: NDArray[np.int64], second: NDArray[np.int64], row_bytes: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Pairs, so many at a time that their pixels are few megabytes."""
    at_once = max(1, _BLOCK_BYTES // (2 * row_bytes))
    for start in range(0, len(first), at_once):
        yield first[start : start + at_once], second[start : start + at_once]


def _distances(
    of: Readable, a: NDArray[np.int64], among: Readable, b: NDArray[np.int64], mirrored: bool
) -> NDArray[np.float64]:
    """Squared distance of each pair, less that of their mean levels; the first one mirrored where wanted."""
    if not len(a):
        return np.empty(0)
    one, other = of.take(a), among.take(b)
    if mirrored:
        one = one[..., ::-1]
    difference = one.reshape(len(a), -1).astype(np.float64) - other.reshape(len(b), -1)
    # sums of whole numbers below 2^53 are exact
    square, level = np.einsum("nd,nd->n", difference, difference), difference.sum(axis=1)
    return np.asarray(square - level * level / difference.shape[1], np.float64)


class _Sets:
    """Disjoint sets of 0..n-1, each named by its least member."""

    def __init__(self, count: int) -> None:
        self._parent = np.arange(count)

    def of(self, members: NDArray[np.int64]) -> NDArray[np.int64]:
        """Names of the members' sets."""
        names = self._parent[members]
        while (above := self._parent[names] != names).any():
            names[above] = self._parent[names[above]]
        self._parent[members] = names
        return names

    def join(self, a: NDArray[np.int64], b: NDArray[np.int64]) -> None:
        """Make one set of those of each pair."""
        for one, other in zip(a.tolist(), b.tolist(), strict=True):
            low, high = sorted((self._root(one), self._root(other)))
            self._parent[high] = low

    def _root(self, member: int) -> int:
        while (parent := int(self._parent[member])) != member:
            member = parent
        return member

import numpy as np
import pytest
import torch

from unecho.components.failure import Fatal
from unecho.components.measures import products
from unecho.components.measures.images import InMemory
from unecho.components.measures.neighbours import nearest
from unecho.components.measures.transforms import IDENTITY, Transform

CPU = torch.device("cpu")
INT8 = pytest.mark.skipif(not products._has_int8(CPU), reason="this CPU has no eight-bit products")
PLAIN = ((IDENTITY,),)
SHIFTS_AND_FLIP = (
    (IDENTITY,),
    (Transform(flip=True), Transform(down=1), Transform(right=-1), Transform(flip=True, down=-1, right=1)),
)


def images(seed: int, count: int, channels: int = 3, side: int = 6) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, channels, side, side), dtype=np.uint8)


def moved(image: np.ndarray, transform: Transform) -> np.ndarray:
    """One image, pixel by pixel: mirrored, then shifted with its edge repeated."""
    channels, height, width = image.shape
    out = np.empty_like(image)
    for c in range(channels):
        for y in range(height):
            for x in range(width):
                from_y = min(max(y - transform.down, 0), height - 1)
                from_x = min(max(x - transform.right, 0), width - 1)
                out[c, y, x] = image[c, from_y, width - 1 - from_x if transform.flip else from_x]
    return out


def brute(queries: np.ndarray, training: np.ndarray, transforms, k: int) -> tuple[np.ndarray, np.ndarray]:
    distances, indices = [], []
    for query in queries:
        row = []
        for number, image in enumerate(training):
            versions = [moved(image, t).astype(np.float64) for t in transforms]
            row.append((min(((query.astype(np.float64) - v) ** 2).sum() for v in versions), number))
        row.sort()
        distances.append([d for d, _ in row[:k]])
        indices.append([i for _, i in row[:k]])
    return np.array(distances), np.array(indices)


def test_plain_and_augmentation_aware_distances_are_those_of_a_loop_in_float64():
    queries, training = images(0, 9), images(1, 23)
    plain, aware = nearest(InMemory(queries), InMemory(training), SHIFTS_AND_FLIP, 5, CPU)
    for found, transforms in ((plain, SHIFTS_AND_FLIP[0]), (aware, SHIFTS_AND_FLIP[0] + SHIFTS_AND_FLIP[1])):
        distances, indices = brute(queries, training, transforms, 5)
        np.testing.assert_array_equal(found.distances, distances)
        np.testing.assert_array_equal(found.indices, indices)


def test_a_further_view_of_the_training_images_lowers_the_distances_of_the_stages_that_name_it():
    queries, training, others = images(0, 9), images(1, 23), images(8, 23)
    others[4] = queries[2, :, :, ::-1]
    named = ((IDENTITY,), (Transform(flip=True), Transform(view=1), Transform(flip=True, view=1)))
    plain, aware = nearest(
        InMemory(queries), InMemory(training), named, 5, CPU, training_rows=7, views=(InMemory(others),)
    )
    alone = nearest(InMemory(queries), InMemory(training), PLAIN, 5, CPU)[0]
    np.testing.assert_array_equal(plain.distances, alone.distances)
    both = [brute(queries, view, (IDENTITY, Transform(flip=True)), len(view)) for view in (training, others)]
    whole = [np.take_along_axis(d, i.argsort(axis=1), axis=1) for d, i in both]  # by place, not by distance
    least = np.minimum(*whole)
    order = np.lexsort((np.broadcast_to(np.arange(23), least.shape), least), axis=1)[:, :5]
    np.testing.assert_array_equal(aware.indices, order)
    np.testing.assert_array_equal(aware.distances, np.take_along_axis(least, order, axis=1))
    assert (aware.distances[2, 0], aware.indices[2, 0]) == (0, 4)


@pytest.mark.parametrize("int8", [pytest.param(True, marks=INT8), False])
def test_distances_do_not_depend_on_how_products_are_computed(int8: bool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(products, "_has_int8", lambda device: int8)
    queries, training = images(0, 9), images(1, 23)
    aware = nearest(InMemory(queries), InMemory(training), SHIFTS_AND_FLIP, 5, CPU)[1]
    distances, indices = brute(queries, training, SHIFTS_AND_FLIP[0] + SHIFTS_AND_FLIP[1], 5)
    np.testing.assert_array_equal(aware.distances, distances)
    np.testing.assert_array_equal(aware.indices, indices)


@pytest.mark.parametrize(("query_rows", "training_rows"), [(1, 1), (2, 7), (3, 50), (100, 4), (4096, 2048)])
def test_block_sizes_do_not_matter(query_rows: int, training_rows: int):
    queries, training = images(2, 11), images(3, 50)
    training[30:40] = training[:10]  # ties across blocks
    whole = nearest(InMemory(queries), InMemory(training), SHIFTS_AND_FLIP, 8, CPU)
    blocked = nearest(
        InMemory(queries),
        InMemory(training),
        SHIFTS_AND_FLIP,
        8,
        CPU,
        query_rows=query_rows,
        training_rows=training_rows,
    )
    for a, b in zip(whole, blocked, strict=True):
        np.testing.assert_array_equal(a.distances, b.distances)
        np.testing.assert_array_equal(a.indices, b.indices)


class Counted(InMemory):
    """Images that count how often each is read."""

    def __init__(self, images: np.ndarray) -> None:
        super().__init__(images)
        self.read = np.zeros(len(images), np.int64)

    def take(self, positions: np.ndarray) -> np.ndarray:
        self.read[positions] += 1
        return super().take(positions)


def test_training_images_are_read_once_for_any_number_of_queries():
    queries, training = images(4, 30), Counted(images(5, 20))
    done: list[tuple[int, int]] = []
    nearest(InMemory(queries), training, PLAIN, 3, CPU, lambda *of: done.append(of), query_rows=7, training_rows=6)
    assert training.read.tolist() == [1] * 20
    assert done == [(6, 20), (12, 20), (18, 20), (20, 20)]


def test_queries_that_do_not_fit_take_further_passes_and_find_the_same(monkeypatch: pytest.MonkeyPatch):
    queries, training = images(4, 10), Counted(images(5, 20))
    whole = nearest(InMemory(queries), training, PLAIN, 3, CPU)
    monkeypatch.setattr("unecho.components.measures.neighbours._HELD_BYTES", 3 * queries[0].size)
    done: list[tuple[int, int]] = []
    parts = nearest(InMemory(queries), training, PLAIN, 3, CPU, lambda *of: done.append(of))
    assert training.read.tolist() == [1 + 4] * 20
    assert done == [(20, 80), (40, 80), (60, 80), (80, 80)]
    np.testing.assert_array_equal(whole[0].distances, parts[0].distances)
    np.testing.assert_array_equal(whole[0].indices, parts[0].indices)


def test_no_queries_have_no_neighbours():
    found = nearest(InMemory(images(4, 0)), InMemory(images(5, 20)), PLAIN, 3, CPU)
    assert found[0].distances.shape == found[0].indices.shape == (0, 3)


def test_an_error_while_the_next_block_is_read_is_raised():
    class Broken(InMemory):
        def take(self, positions: np.ndarray) -> np.ndarray:
            if positions[-1] >= 12:
                raise Fatal("altered")
            return super().take(positions)

    with pytest.raises(Fatal, match="altered"):
        nearest(InMemory(images(4, 3)), Broken(images(5, 20)), PLAIN, 3, CPU, training_rows=6)


def test_equal_distances_come_in_order_of_index():
    training = np.repeat(images(6, 4), 5, axis=0)[::-1].copy()
    found = nearest(InMemory(training[:1]), InMemory(training), PLAIN, 7, CPU, training_rows=3)[0]
    assert found.distances[0, :5].tolist() == [0] * 5
    assert found.indices[0, :5].tolist() == [0, 1, 2, 3, 4]


def test_an_exact_copy_has_distance_zero_and_one_grey_level_has_distance_one():
    # 3 x 64 x 64 values of up to 255: the usual |a|^2 + |b|^2 - 2ab in float32 is off by dozens here
    training = np.full((3, 3, 64, 64), 255, np.uint8)
    training[1] = 254
    training[2] = images(7, 1, 3, 64)[0]
    almost = training[0].copy()
    almost[2, 63, 63] = 254
    found = nearest(InMemory(np.stack([training[2], almost])), InMemory(training), PLAIN, 2, CPU)[0]
    assert found.distances[:, 0].tolist() == [0, 1]
    assert found.indices[:, 0].tolist() == [2, 0]
    assert found.distances[1, 1] == 3 * 64 * 64 - 1


@pytest.mark.parametrize("side", [106, 120, 128])
def test_the_largest_possible_distance_is_exact(side: int):
    """A difference of squares needs 32 bits up to 43,690 values, 64 beyond."""
    black, white = np.zeros((1, 3, side, side), np.uint8), np.full((1, 3, side, side), 255, np.uint8)
    assert nearest(InMemory(black), InMemory(white), PLAIN, 1, CPU)[0].distances[0, 0] == 3 * side * side * 255**2

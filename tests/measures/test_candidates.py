"""A search by candidates counts what the search in full counts."""

import numpy as np
import pytest
import torch

from unecho.components.config.fields import TAA, Evaluate
from unecho.components.measures import candidates
from unecho.components.measures.candidates import _Scaling, _within, closeness_by_candidates
from unecho.components.measures.images import InMemory
from unecho.components.measures.memorization import Closeness, closeness_of
from unecho.components.measures.neighbours import Neighbours
from unecho.components.measures.search_figures import Searched
from unecho.components.measures.transforms import stages

CPU = torch.device("cpu")
CONFIG = Evaluate(neighbours=5)
DRAW = np.random.default_rng(3)


def natural(count: int, side: int = 16, channels: int = 3) -> np.ndarray:
    """Images whose energy falls with the frequency, as photographs' does."""
    total = np.zeros((count, channels, side, side))
    for cells, contrast in ((2, 60), (4, 40), (8, 20), (side, 8)):
        coarse = torch.from_numpy(DRAW.normal(0, contrast, (count, channels, cells, cells)))
        total += torch.nn.functional.interpolate(coarse, (side, side), mode="bilinear").numpy()
    return (total + 128).clip(0, 255).astype(np.uint8)


def noisy(images: np.ndarray, levels: float) -> np.ndarray:
    return (images + DRAW.normal(0, levels, images.shape)).round().clip(0, 255).astype(np.uint8)


def both(sets: dict[str, np.ndarray], training: np.ndarray, taa: TAA | None = None, views: tuple = ()):
    arguments = (
        {name: InMemory(images) for name, images in sets.items()},
        InMemory(training),
        stages(taa or TAA(), 1 + len(views)),
        CONFIG,
        CPU,
    )
    found, searched = closeness_by_candidates(*arguments, views=views)
    return found, closeness_of(*arguments, views=views), searched


def counts(found: list[Closeness]) -> list[list[bool]]:
    """On which side of every threshold each image is."""
    return [
        [*(one.mq < tau).tolist(), *(one.second_ratio < CONFIG.second_nearest).tolist()]
        for one in found
        for tau in CONFIG.thresholds
    ]


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer candidates, and a sample that leaves most images to them."""
    monkeypatch.setattr(candidates, "_SAMPLE", 8)
    monkeypatch.setattr(candidates, "_AWARE", 6)


@pytest.mark.usefixtures("few")
def test_every_image_is_on_the_side_of_every_threshold_that_a_search_in_full_puts_it_on():
    training = natural(600)
    moved = np.roll(training[100:130, :, :, ::-1], 1, axis=3)
    copies = np.concatenate([noisy(training[:40], 6), training[50:60], noisy(moved, 4), noisy(training[60:90], 30)])
    found, right, searched = both({"generated": copies, "held_out": natural(100)}, training)
    for name in ("generated", "held_out"):
        assert counts(found[name]) == counts(right[name])
    assert right["generated"][1].below(0.1) > right["generated"][0].below(0.1) > 30
    assert searched.images == 210
    assert searched.in_full < 105, "most images are decided by their candidates"


@pytest.mark.usefixtures("few")
def test_images_whose_candidates_decide_nothing_are_searched_in_full():
    """Noise has no low frequencies to tell images apart by: no candidate says anything of the others."""
    draw = np.random.default_rng(4)
    training, queries = (draw.integers(0, 256, (count, 3, 32, 32), np.uint8) for count in (300, 20))
    queries[:3] = training[:3]
    queries[3:6] = training[3:6, :, :, ::-1]
    found, right, searched = both({"generated": queries}, training, TAA(augmentations=("randaugment",)))
    assert searched.in_full == 17, "all but the copies; of a mirrored one the plain figures are open"
    np.testing.assert_array_equal(found["generated"][1].mq[3:], right["generated"][1].mq[3:])
    assert counts(found["generated"]) == counts(right["generated"])


@pytest.mark.usefixtures("few")
def test_copies_of_another_view_are_found():
    training = natural(300)
    blurred = InMemory(natural(300))
    found, right, _ = both({"generated": noisy(blurred.take(np.arange(20)), 5)}, training, views=(blurred,))
    assert found["generated"][1].nearest.tolist() == list(range(20))
    assert counts(found["generated"]) == counts(right["generated"])


def test_the_recall_is_that_of_the_sample_that_is_searched_in_full(monkeypatch: pytest.MonkeyPatch):
    training, queries = natural(400), natural(12)
    monkeypatch.setattr(candidates, "_SAMPLE", 10)
    all_found = both({"generated": queries}, training)[2]
    assert (all_found.nearest.of, all_found.neighbours.of) == (10, 50)
    # of two plain candidates at most two of five neighbours are right
    monkeypatch.setattr(candidates, "_TIMES", 1)
    worse = both({"generated": noisy(queries, 60)}, training)[2]
    assert worse.candidates == 5
    assert worse.neighbours.share < 1
    assert Searched.model_validate_json(worse.model_dump_json()) == worse


@pytest.mark.parametrize(("channels", "side"), [(1, 28), (3, 32), (3, 37), (1, 8)])
def test_images_are_never_nearer_than_their_scaled_down_ones_say(channels: int, side: int):
    images = np.random.default_rng(5).integers(0, 256, (40, channels, side, side), np.uint8)
    images[20:] = noisy(images[:20], 3)
    images[0], images[20] = 0, 255
    scaling = _Scaling.of(InMemory(images))
    small = scaling(torch.from_numpy(images)).numpy().astype(np.int64)
    assert small[0].size <= 256
    for a in range(40):
        away = np.square(images[a].astype(np.int64) - images.astype(np.int64)).sum(axis=(1, 2, 3))
        assert (scaling.least(np.square(small[a] - small).sum(axis=(1, 2, 3))) <= away).all()


def test_as_few_training_images_as_neighbours_are_all_candidates():
    training = natural(6)
    found, right, searched = both({"generated": natural(4)}, training)
    assert (searched.candidates, searched.in_full) == (6, 0)
    for one, other in zip(found["generated"], right["generated"], strict=True):
        np.testing.assert_array_equal(one.mq, other.mq)
        np.testing.assert_array_equal(one.second_ratio, other.second_ratio)
        np.testing.assert_array_equal(one.nearest, other.nearest)


def test_recall_counts_those_of_the_true_nearest_that_were_found() -> None:
    """One that was missed moves all that were found up by a place, and is still one that was missed."""
    true, found = np.array([[1, 2, 3, 4]]), np.array([[2, 3, 4, 9]])
    first = np.array([0])
    among = [Neighbours(distances, np.zeros_like(distances)) for distances in (found, true)]
    of_all, of_nearest = (_within(*among, first, first, k) for k in (4, 1))
    assert (of_all.count, of_all.of) == (3, 4)
    assert (of_nearest.count, of_nearest.of) == (0, 1)

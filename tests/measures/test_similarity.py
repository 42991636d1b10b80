"""The search for the most similar training images."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from unecho.components.failure import Fatal
from unecho.components.measures import similarity
from unecho.components.measures.images import InMemory
from unecho.components.measures.similarity import Search, Similar, most_similar

CPU = torch.device("cpu")


def vectors(count: int, seed: int, dimensions: int = 16) -> Tensor:
    return F.normalize(torch.randn(count, dimensions, generator=torch.Generator().manual_seed(seed)), dim=1)


def searched(queries: Tensor, blocks: Sequence[Tensor], neighbours: int = 2, own: Tensor | None = None) -> Similar:
    search, start = Search(queries, neighbours, own), 0
    for block in blocks:
        search.see([block], start)
        start += len(block)
    return search.found()


class AsTheyAre:
    """Pixels as the descriptor; remembers how many images it was given."""

    def __init__(self) -> None:
        self.seen = 0

    def __call__(self, images: NDArray[np.uint8]) -> Tensor:
        self.seen += len(images)
        return F.normalize(torch.from_numpy(np.ascontiguousarray(images)).flatten(1).float() - 128, dim=1)


def images(count: int, seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, 1, 8, 8), dtype=np.uint8)


def test_the_search_finds_what_sorting_all_products_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(similarity, "_QUERIES", 7)
    queries, training = vectors(25, 0), vectors(90, 1)
    products = queries @ training.T
    right = products.argsort(dim=1, descending=True)[:, :3]
    for size in (1, 2, 13, 90):
        found = searched(queries, training.split(size), neighbours=3)
        np.testing.assert_array_equal(found.index, right.numpy())
        np.testing.assert_allclose(found.similarity, products.gather(1, right).numpy(), atol=1e-6)


def test_equal_similarities_are_ordered_by_index_within_and_across_blocks() -> None:
    one = torch.tensor([[1.0, 0.0]])
    training = torch.tensor([[0.0, 1.0], [1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [1.0, 0.0]])
    for size in (1, 2, 3, 6):
        assert searched(one, training.split(size), 3).index.tolist() == [[1, 2, 3]]


def test_the_distance_to_the_nearest_over_that_to_the_second_is_worked_out_on_the_sphere() -> None:
    # at 60 degrees sqrt(2 - 2 cos 60) = 1, at 90 degrees sqrt(2); an equal one, held twice too, has 0
    queries = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    training = torch.tensor([[0.5, 3**0.5 / 2, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
    found = searched(queries, [training])
    np.testing.assert_allclose(found.second_ratio, [1 / 2**0.5, 0.0], atol=1e-6)


def test_the_similarity_to_one_named_image_is_found_in_the_same_pass() -> None:
    queries, training = vectors(5, 2), vectors(20, 3)
    own = torch.tensor([19, 0, -1, 7, 7])
    found = searched(queries, training.split(6), own=own)
    right = [float(queries[q] @ training[i]) for q, i in ((0, 19), (1, 0), (3, 7), (4, 7))]
    np.testing.assert_allclose(found.own[[0, 1, 3, 4]], right, atol=1e-6)
    assert np.isnan(found.own[2])


def test_a_mirrored_copy_is_as_similar_as_a_copy_and_each_training_image_is_described_once_for_all_sets() -> None:
    training = images(40, 4)
    copies = np.concatenate([training[[3, 30]], training[[7, 8], :, :, ::-1]])
    by = AsTheyAre()
    done: list[tuple[int, int]] = []
    found = most_similar(
        {"copies": InMemory(copies), "other": InMemory(images(6, 5)), "none": InMemory(images(0, 6))},
        [InMemory(training)],
        by,  # type: ignore[arg-type]
        CPU,
        own={"copies": np.array([3, -1, 7, 0])},
        on_progress=lambda images, of: done.append((images, of)),
    )
    assert found["copies"].index[:, 0].tolist() == [3, 30, 7, 8]
    np.testing.assert_allclose(found["copies"].largest, 1, atol=1e-6)
    np.testing.assert_allclose(found["copies"].own[[0, 2]], 1, atol=1e-6)
    assert found["copies"].own[3] < 0.9
    assert (found["other"].largest < 0.9).all()
    assert found["none"].similarity.shape == (0, 2)
    assert by.seen == 10 + 2 * 40
    assert done[-1] == (50, 50)


def test_the_largest_similarity_over_views_of_the_training_images_counts() -> None:
    training, blurred = images(30, 7), images(30, 8)
    queries = np.concatenate([training[:3], blurred[5:8]])
    found = most_similar({"x": InMemory(queries)}, [InMemory(training), InMemory(blurred)], AsTheyAre(), CPU)["x"]  # type: ignore[arg-type]
    assert found.index[:, 0].tolist() == [0, 1, 2, 5, 6, 7]
    np.testing.assert_allclose(found.largest, 1, atol=1e-6)


def test_a_descriptor_of_zeros_alone_is_refused_since_it_would_clear_every_model() -> None:
    with pytest.raises(Fatal, match=r"evaluate.descriptor: gives zeros for all 30 training images"):
        most_similar(
            {"x": InMemory(images(3, 9))},
            [InMemory(images(30, 7))],
            lambda given: torch.zeros(len(given), 4),  # type: ignore[arg-type]
            CPU,
        )

import numpy as np
import pytest
import scipy.linalg
import torch

from unecho.components.measures.features import Pixels
from unecho.components.measures.images import InMemory
from unecho.components.measures.quality import (
    Moments,
    compare,
    frechet_distance,
    moments,
    pooled,
    radii,
    spread,
    within,
)

CPU = torch.device("cpu")


def points(seed: int, count: int, width: int) -> torch.Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


def test_the_frechet_distance_of_two_gaussians_worked_out_by_hand():
    # diagonal: (3-0)^2 + (0-4)^2 + (2-1)^2 + (3-5)^2, standard deviations 2, 3 and 1, 5
    a = Moments(torch.tensor([3.0, 0.0]).double(), torch.diag(torch.tensor([4.0, 9.0])).double())
    b = Moments(torch.tensor([0.0, 4.0]).double(), torch.diag(torch.tensor([1.0, 25.0])).double())
    assert frechet_distance(a, b) == pytest.approx(9 + 16 + 1 + 4)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-12)


def test_the_frechet_distance_is_that_of_torch_fidelity():
    fid = pytest.importorskip("torch_fidelity.metric_fid")
    a, b = points(0, 300, 12), points(1, 400, 12) * 1.5 + 0.3
    b[:, 0] += b[:, 1]  # the covariances do not commute
    statistics = [fid.fid_features_to_statistics(x.double()) for x in (a, b)]
    expected = fid.fid_statistics_to_metric(*statistics, verbose=False)[fid.KEY_METRIC_FID]
    assert frechet_distance(moments(a), moments(b)) == pytest.approx(expected, rel=1e-9)


def test_the_frechet_distance_holds_with_fewer_images_than_features():
    a, b = points(2, 8, 30).double(), points(3, 9, 30).double()
    # an independent way: the trace of (AB)^(1/2) is the nuclear norm of the centred samples' product
    centred = [(x - x.mean(0)).numpy() / np.sqrt(len(x) - 1) for x in (a, b)]
    trace = scipy.linalg.svdvals(centred[0] @ centred[1].T).sum()
    expected = (a.mean(0) - b.mean(0)).square().sum().item() + sum((c**2).sum() for c in centred) - 2 * trace
    assert frechet_distance(moments(a), moments(b)) == pytest.approx(expected, rel=1e-6)


def test_precision_and_recall_are_those_of_a_loop():
    real, made, k = points(4, 40, 3).numpy(), (points(5, 30, 3) * 1.4 + 0.5).numpy(), 3

    def inside(queries: np.ndarray, manifold: np.ndarray) -> int:
        reach = []
        for i, p in enumerate(manifold):
            others = [np.linalg.norm(p - q) for j, q in enumerate(manifold) if j != i]
            reach.append(sorted(others)[k - 1])
        return sum(any(np.linalg.norm(q - p) <= r for p, r in zip(manifold, reach, strict=True)) for q in queries)

    def found(queries: np.ndarray, manifold: np.ndarray) -> int:
        balls = torch.from_numpy(manifold)
        return within(torch.from_numpy(queries), balls, radii(balls, k))

    assert found(made, real) == inside(made, real)
    assert found(real, made) == inside(real, made)
    assert 0 < inside(made, real) < len(made)


def test_a_copy_lies_in_the_manifold_also_of_images_that_are_all_the_same():
    same = torch.full((5, 7), 0.3)
    assert within(same, same, radii(same, 3)) == 5


def test_generated_and_training_images_enter_in_equal_numbers_and_copies_of_the_training_set_have_its_quality():
    rng = np.random.default_rng(6)
    training, reference = (rng.integers(0, 256, (n, 1, 4, 4), dtype=np.uint8) for n in (24, 60))
    compared = compare(
        InMemory(np.concatenate([training, training])), InMemory(training), InMemory(reference), Pixels(CPU), 3
    )
    assert (compared.images, compared.reference, compared.manifold) == (24, 60, 24)
    again = compare(InMemory(training), InMemory(training), InMemory(reference), Pixels(CPU), 3)
    assert again.generated == again.real


def test_images_above_32_pixels_are_averaged_down():
    checker = np.tile(np.array([[0, 255], [255, 0]], np.uint8), (1, 3, 32, 32))
    features = Pixels(CPU)(checker)
    assert features.shape == (1, 3 * 32 * 32)
    assert torch.allclose(features, torch.tensor(0.5))


def test_spread_positions_are_even_and_complete():
    assert spread(10, 4).tolist() == [0, 2, 5, 7]
    assert spread(5, 5).tolist() == [0, 1, 2, 3, 4]


def test_pooled_moments_are_those_of_all_points_at_once():
    every = points(6, 60, 5).double()
    found = pooled([moments(every[first::4]) for first in range(4)], 15)
    wanted = moments(every)
    assert torch.allclose(found.mean, wanted.mean, atol=1e-12)
    assert torch.allclose(found.covariance, wanted.covariance, atol=1e-12)


def test_all_generated_images_count_once_and_a_set_is_as_large_as_the_training_split():
    real = np.random.default_rng(0).integers(0, 256, (90, 1, 4, 4), dtype=np.uint8)
    generated, training, reference = InMemory(real[:50]), InMemory(real[50:62]), InMemory(real[62:])
    found = compare(generated, training, reference, Pixels(CPU), 3)
    assert (found.images, found.sets) == (12, 4)

    def distance(some: np.ndarray) -> float:
        return frechet_distance(*(moments(Pixels(CPU)(images)) for images in (some, real[62:])))

    used = real[:50][spread(50, 48)]
    assert found.generated.frechet == pytest.approx(np.mean([distance(used[first::4]) for first in range(4)]))
    assert found.generated.frechet_all == pytest.approx(distance(used))
    assert found.real.frechet == found.real.frechet_all == pytest.approx(distance(real[50:62]))

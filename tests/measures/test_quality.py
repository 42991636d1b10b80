import numpy as np
import pytest
import scipy.linalg
import torch

from unecho.components.config.fields import Evaluate
from unecho.components.measures.features import Pixels
from unecho.components.measures.images import InMemory
from unecho.components.measures.kernel import kernel_distance
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
CONFIG = Evaluate()


def points(seed: int, count: int, width: int) -> torch.Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


def test_the_frechet_distance_of_two_gaussians_worked_out_by_hand():
    # diagonal: (3-0)^2 + (0-4)^2 + (2-1)^2 + (3-5)^2, standard deviations 2, 3 and 1, 5
    a = Moments(torch.tensor([3.0, 0.0]).double(), torch.diag(torch.tensor([4.0, 9.0])).double(), 9)
    b = Moments(torch.tensor([0.0, 4.0]).double(), torch.diag(torch.tensor([1.0, 25.0])).double(), 9)
    assert frechet_distance(a, b) == pytest.approx(9 + 16 + 1 + 4)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-12)


def test_the_frechet_distance_is_that_of_torch_fidelity():
    fid = pytest.importorskip("torch_fidelity.metric_fid")
    a, b = points(0, 300, 12), points(1, 400, 12) * 1.5 + 0.3
    b[:, 0] += b[:, 1]  # the covariances do not commute
    statistics = [fid.fid_features_to_statistics(x.double()) for x in (a, b)]
    expected = fid.fid_statistics_to_metric(*statistics, verbose=False)[fid.KEY_METRIC_FID]
    assert frechet_distance(moments(a), moments(b)) == pytest.approx(expected, rel=1e-9)


def test_a_solver_of_the_device_that_does_not_converge_is_replaced_by_the_cpu_s(monkeypatch: pytest.MonkeyPatch):
    a, b = moments(points(2, 8, 30)), moments(points(3, 9, 30))
    expected, asked = frechet_distance(a, b), list[str]()

    def failing_once(name: str):
        real = getattr(torch.linalg, name)

        def solver(matrix: torch.Tensor):
            asked.append(name)
            if asked.count(name) == 1:
                raise torch.linalg.LinAlgError("the algorithm failed to converge: too many repeated eigenvalues")
            return real(matrix)

        return solver

    for name in ("eigh", "eigvalsh"):
        monkeypatch.setattr(torch.linalg, name, failing_once(name))
    assert frechet_distance(a, b) == expected
    assert asked == ["eigh", "eigh", "eigvalsh", "eigvalsh"]


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
        InMemory(np.concatenate([training, training])), InMemory(training), InMemory(reference), Pixels(CPU), CONFIG
    )
    assert (compared.images, compared.reference, compared.manifold) == (24, 60, 24)
    again = compare(InMemory(training), InMemory(training), InMemory(reference), Pixels(CPU), CONFIG)
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
    found = pooled([moments(every[first::4]) for first in range(4)])
    wanted = moments(every)
    assert torch.allclose(found.mean, wanted.mean, atol=1e-12)
    assert torch.allclose(found.covariance, wanted.covariance, atol=1e-12)


def test_all_generated_images_count_once_and_a_set_is_as_large_as_the_training_split():
    real = np.random.default_rng(0).integers(0, 256, (90, 1, 4, 4), dtype=np.uint8)
    generated, training, reference = InMemory(real[:50]), InMemory(real[50:62]), InMemory(real[62:])
    found = compare(generated, training, reference, Pixels(CPU), CONFIG)
    assert (found.images, found.sets) == (12, 4)

    def distance(some: np.ndarray) -> float:
        return frechet_distance(*(moments(Pixels(CPU)(images)) for images in (some, real[62:])))

    used = real[:50][spread(50, 48)]
    assert found.generated.frechet == pytest.approx(np.mean([distance(used[first::4]) for first in range(4)]))
    assert found.generated.frechet_all == pytest.approx(distance(used))
    assert found.real.frechet == found.real.frechet_all == pytest.approx(distance(real[50:62]))


def test_the_distance_to_the_training_set_is_that_of_all_generated_images_to_all_training_images() -> None:
    real = np.random.default_rng(1).integers(0, 256, (120, 1, 4, 4), dtype=np.uint8)
    # a remainder beside the sets of 12; fewer than the training set
    for made, training in ((real[:50], real[50:62]), (real[:20], real[20:70])):
        found = compare(InMemory(made), InMemory(training), InMemory(real[70:]), Pixels(CPU), CONFIG)
        expected = frechet_distance(*(moments(Pixels(CPU)(images)) for images in (made, training)))
        assert found.frechet_training == pytest.approx(expected, rel=1e-7)


def test_a_copy_of_the_training_set_is_perfect_under_the_published_protocol_and_not_under_ours() -> None:
    real = np.random.default_rng(2).integers(0, 256, (90, 1, 4, 4), dtype=np.uint8)
    found = compare(InMemory(real[:40]), InMemory(real[:40]), InMemory(real[40:]), Pixels(CPU), CONFIG)
    assert found.frechet_training == pytest.approx(0, abs=1e-9)
    assert found.generated.frechet > 0.01


def test_the_kernel_distance_is_that_of_torch_fidelity() -> None:
    kid = pytest.importorskip("torch_fidelity.metric_kid")
    a, b = points(10, 300, 12).double(), points(11, 260, 12).double() * 1.5 + 0.3
    expected = kid.kid_features_to_metric(a, b, kid_subsets=20, kid_subset_size=100, verbose=False)
    found = kernel_distance(a, b, 20, 100)
    assert found.mean == pytest.approx(expected[kid.KEY_METRIC_KID_MEAN], rel=1e-9)
    assert found.std == pytest.approx(expected[kid.KEY_METRIC_KID_STD], rel=1e-9)


def test_the_kernel_distance_is_that_of_a_loop_over_all_pairs() -> None:
    a, b = points(12, 6, 3).double(), points(13, 9, 3).double() + 0.5

    def kernel(x: torch.Tensor, y: torch.Tensor) -> float:
        return float(x @ y / 3 + 1) ** 3

    def within_one(some: torch.Tensor) -> float:
        return float(np.mean([kernel(x, y) for i, x in enumerate(some) for j, y in enumerate(some) if i != j]))

    across = np.mean([kernel(x, y) for x in a for y in b[:6]])
    found = kernel_distance(a, b[:6], 100, 1000)
    assert (found.subsets, found.size) == (1, 6)  # all images of both: there is one such subset
    assert found.mean == pytest.approx(within_one(a) + within_one(b[:6]) - 2 * across)
    assert kernel_distance(a, b, 7, 1000).subsets == 7


def test_the_kernel_distance_of_two_sets_of_one_distribution_is_about_nothing() -> None:
    found = kernel_distance(points(14, 2000, 5), points(15, 2000, 5), 50, 500)
    apart = kernel_distance(points(14, 2000, 5), points(15, 2000, 5) + 1, 50, 500)
    assert abs(found.mean) < 0.02  # the kernel itself is about 1 to 10
    assert apart.mean > 1


def test_generated_and_training_images_have_their_kernel_distance_to_the_same_reference() -> None:
    real = np.random.default_rng(3).integers(0, 256, (90, 1, 4, 4), dtype=np.uint8)
    found = compare(InMemory(real[:30]), InMemory(real[30:60]), InMemory(real[60:]), Pixels(CPU), CONFIG)
    for some, quality in ((real[:30], found.generated), (real[30:60], found.real)):
        assert quality.kernel == kernel_distance(Pixels(CPU)(some), Pixels(CPU)(real[60:]), 100, 1000)

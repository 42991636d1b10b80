from math import sqrt

import numpy as np
import pytest
import torch

from unecho.components.config.fields import TAA, Evaluate
from unecho.components.measures.images import InMemory
from unecho.components.measures.memorization import closeness, closeness_of
from unecho.components.measures.transforms import IDENTITY, stages

CPU = torch.device("cpu")
CONFIG = Evaluate(neighbours=6)


def smooth(seed: int, count: int) -> np.ndarray:
    """Images of blobs, in which a shift by a pixel changes little against another image."""
    noise = torch.rand(count, 1, 4, 4, generator=torch.Generator().manual_seed(seed))
    return (torch.nn.functional.interpolate(noise, (12, 12), mode="bicubic").clamp(0, 1) * 255).byte().numpy()


def reference_ratios(queries: np.ndarray, training: np.ndarray, k: int) -> tuple[list[float], list[float]]:
    """MQ and nearest-to-second-nearest ratios, by the definition, in float64."""
    mq, second = [], []
    for query in queries.astype(np.float64):
        distances = sorted(((query - image) ** 2).sum() for image in training.astype(np.float64))
        mq.append(distances[0] / (sum(distances[:k]) / k))
        second.append(sqrt(distances[0]) / sqrt(distances[1]))
    return mq, second


def test_plain_ratios_are_those_of_a_loop_in_float64():
    queries, training = smooth(0, 15), smooth(1, 30)
    found = closeness(InMemory(queries), InMemory(training), ((IDENTITY,),), CONFIG, CPU)[0]
    mq, second = reference_ratios(queries, training, 6)
    np.testing.assert_allclose(found.mq, mq, rtol=1e-14)
    np.testing.assert_allclose(found.second_ratio, second, rtol=1e-14)


def test_aware_ratios_are_those_of_a_loop_over_every_shift_and_flip():
    queries, training = smooth(2, 8), smooth(3, 20)
    plain, found = closeness(InMemory(queries), InMemory(training), stages(TAA(shift_pixels=1)), CONFIG, CPU)
    for number, query in enumerate(queries.astype(np.float64)):
        distances = []
        for image in training.astype(np.float64):
            versions = []
            for mirrored in (image, image[:, :, ::-1]):
                padded = np.pad(mirrored, ((0, 0), (1, 1), (1, 1)), mode="edge")
                versions += [padded[:, y : y + 12, x : x + 12] for y in range(3) for x in range(3)]
            distances.append(min(((query - v) ** 2).sum() for v in versions))
        unmoved = [((query - image) ** 2).sum() for image in training.astype(np.float64)]
        nearest = int(np.argmin(distances))
        mean = np.mean(sorted(unmoved)[:6])  # the plain one: a yardstick must not shrink with what it measures
        other = min(distance for image, distance in enumerate(unmoved) if image != nearest)
        assert found.mq[number] == pytest.approx(distances[nearest] / mean, rel=1e-14)
        ratio = min(sqrt(distances[nearest] / other), plain.second_ratio[number])
        assert found.second_ratio[number] == pytest.approx(ratio, rel=1e-14)


def test_whatever_a_plain_measure_finds_the_aware_one_finds():
    """Noisy copies, some of them moved: no ratio is above the plain one, so no threshold finds fewer."""
    draw = np.random.default_rng(8)
    training = smooth(9, 200)
    noisy = training[:80].astype(np.int64) + draw.normal(0, 40, training[:80].shape).round().astype(np.int64)
    copies = np.clip(noisy, 0, 255).astype(np.uint8)
    copies[::2] = copies[::2, :, :, ::-1]
    plain, aware = closeness(InMemory(copies), InMemory(training), stages(TAA(shift_pixels=2)), CONFIG, CPU)
    assert (aware.mq <= plain.mq).all()
    assert (aware.second_ratio <= plain.second_ratio).all()
    assert aware.below(0.3) > plain.below(0.3) > 0, "the mirrored ones are found too"


def test_only_the_aware_measure_finds_planted_copies_that_are_mirrored_and_shifted():
    # images of noise: neither a shift nor the mirror image is near the original
    training = np.random.default_rng(4).integers(0, 256, (40, 1, 12, 12), dtype=np.uint8)
    mirrored = training[7, :, :, ::-1]
    shifted = np.pad(training[9], ((0, 0), (1, 0), (0, 1)), mode="edge")[:, :12, 1:]
    both = np.pad(training[11, :, :, ::-1], ((0, 0), (0, 1), (1, 0)), mode="edge")[:, 1:, :12]
    planted = np.stack([training[5], mirrored, shifted, both])
    plain, aware = closeness(InMemory(planted), InMemory(training), stages(TAA(shift_pixels=1)), CONFIG, CPU)
    assert plain.below(0.5) == plain.far_nearer(1 / 3) == 1  # the plain copy alone
    assert aware.mq.tolist() == aware.second_ratio.tolist() == [0.0] * 4
    assert aware.nearest.tolist() == [5, 7, 9, 11]
    assert aware.below(0.1) == aware.far_nearer(1 / 3) == 4


def test_mq_counts_what_is_strictly_below_the_threshold():
    # distances 1, 3, 3, ...: 1 / mean(1, 3) = 0.5
    training = np.zeros((2, 1, 8, 8), np.uint8)
    training[0, 0, 0, 0] = 1
    training[1, 0, 0, :3] = 1
    found = closeness(
        InMemory(np.zeros((1, 1, 8, 8), np.uint8)), InMemory(training), ((IDENTITY,),), Evaluate(neighbours=2), CPU
    )[0]
    assert found.mq.tolist() == [0.5]
    assert (found.below(0.5), found.below(0.500001)) == (0, 1)
    assert found.second_ratio[0] == pytest.approx(1 / sqrt(3))


def test_a_copy_of_an_image_that_the_training_set_holds_many_times_is_a_copy():
    training = np.repeat(smooth(5, 1), 8, axis=0)
    found = closeness(InMemory(training[:1]), InMemory(training), ((IDENTITY,),), CONFIG, CPU)[0]
    assert found.mq.tolist() == found.second_ratio.tolist() == [0.0]


def test_a_copy_of_another_view_is_found_by_the_aware_ratio_alone_and_the_yardstick_is_that_of_the_images():
    training = smooth(8, 12)
    blurred = training.copy()
    blurred[:, :, ::2] = blurred[:, :, 1::2]
    named = stages(TAA(augmentations=("randaugment",)), 2)
    assert [transform.view for transform in named[1]] == [0, 1, 1]
    one = (InMemory(blurred[3:4]), InMemory(training))
    plain, aware = closeness(*one, named, CONFIG, CPU, views=(InMemory(blurred),))
    alone = closeness(*one, stages(TAA(augmentations=("randaugment",))), CONFIG, CPU)
    np.testing.assert_array_equal(plain.mq, alone[0].mq)
    assert (aware.mq.tolist(), aware.second_ratio.tolist(), aware.nearest.tolist()) == ([0.0], [0.0], [3])
    assert alone[1].mq[0] > 0


def test_several_sets_measured_in_one_pass_are_as_each_by_itself():
    training = InMemory(smooth(7, 12))
    sets = {"generated": InMemory(smooth(6, 10)), "none": InMemory(smooth(6, 0)), "base": InMemory(smooth(8, 3))}
    together = closeness_of(sets, training, stages(TAA()), CONFIG, CPU)
    for name, images in sets.items():
        alone = closeness(images, training, stages(TAA()), CONFIG, CPU)
        for a, b in zip(together[name], alone, strict=True):
            np.testing.assert_array_equal(a.mq, b.mq)
            np.testing.assert_array_equal(a.second_ratio, b.second_ratio)
            np.testing.assert_array_equal(a.nearest, b.nearest)

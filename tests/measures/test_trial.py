"""A descriptor is judged by held-out images that its threshold was not chosen by."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from unecho.components.config import RunConfig, resolve
from unecho.components.failure import Fatal
from unecho.components.measures.images import InMemory
from unecho.components.measures.planting import KINDS
from unecho.components.measures.ranking import area_under
from unecho.components.measures.trial import _judged, _rounded, threshold_for, tried

CPU = torch.device("cpu")
CONFIG = resolve("tiny", settings=("taa.augmentations=shift",))


class Pixels:
    """A descriptor that knows no copy but a plain one: the pixels, around their mean."""

    def __call__(self, images: np.ndarray) -> torch.Tensor:
        values = torch.from_numpy(np.ascontiguousarray(images)).flatten(1).float()
        return F.normalize(values - values.mean(dim=1, keepdim=True), dim=1)


def noise(count: int, seed: int) -> InMemory:
    return InMemory(np.random.default_rng(seed).integers(0, 256, (count, 1, 8, 8), np.uint8))


def test_a_threshold_lets_a_share_of_held_out_images_lie_above() -> None:
    scores = np.arange(200) / 200
    assert threshold_for(scores, 0.01) == 197 / 200  # 198 and 199 of 200 above
    assert (scores > threshold_for(scores, 0.01)).sum() == 2
    assert threshold_for(scores[:99], 0.01) == 98 / 200  # of 99 none may


def test_a_threshold_is_rounded_up_so_that_no_more_lie_above_and_is_one_that_a_configuration_takes() -> None:
    assert _rounded(0.87651) == 0.8766
    assert _rounded(1.0) == 0.9999


def test_the_area_is_the_share_of_pairs_in_which_the_copy_scores_higher() -> None:
    copies, held_out = np.array([0.9, 0.5, 0.1]), np.array([0.5, 0.2])
    # 0.9 above both, 0.5 above one and level with one, 0.1 above none
    assert area_under(copies, held_out) == (2 + 1.5 + 0) / 6
    assert area_under(held_out, held_out) == 0.5


def test_what_chose_a_threshold_does_not_judge_it() -> None:
    """Half of the held-out images score low and choose; the other half, which scores higher, has the alarms."""
    low, high = np.linspace(0, 0.5, 100), np.linspace(0.4, 0.9, 100)
    held_out, chooses = np.concatenate([low, high]), np.arange(200) < 100
    scores = {"held out": held_out, **{kind: np.array([0.45, 0.95]) for kind in KINDS}}
    trial = _judged(scores, scores, scores, chooses, 1000, CONFIG)
    (threshold,) = trial.thresholds  # 100 are too few for one in a thousand
    assert trial.chose == 100
    assert threshold.value == pytest.approx(low[98], abs=1e-4)  # one of the 100 that chose lies above
    assert threshold.above.of == 100
    assert threshold.above.count == (high > threshold.value).sum() == 81
    crop = next(kind for kind in trial.kinds if kind.kind == "crop")
    assert (crop.descriptor.found.count, crop.descriptor.found.of) == (1, 2)
    assert crop.descriptor.auc == (10 + 100) / 200  # 0.45 is above ten of those that judge


def test_a_thousand_images_choose_for_one_in_a_thousand_too() -> None:
    scores = {"held out": np.linspace(0, 0.9, 2000), **{kind: np.array([0.95]) for kind in KINDS}}
    trial = _judged(scores, scores, scores, np.arange(2000) % 2 == 0, 1000, CONFIG)
    assert [threshold.alarms for threshold in trial.thresholds] == [0.01, 0.001]
    assert trial.thresholds[0].value < trial.thresholds[1].value


def test_a_descriptor_of_pixels_finds_plain_and_mirrored_copies_and_loses_shifted_ones() -> None:
    trial = tried(noise(60, 0), noise(80, 1), Pixels(), CONFIG, CPU)  # type: ignore[arg-type]
    found = {kind.kind: kind for kind in trial.kinds}
    assert trial.training == 60
    assert trial.chose == trial.thresholds[0].above.of == 40
    for kind in ("plain", "flip"):  # the search tries the mirror image
        assert found[kind].descriptor.auc == 1
        assert found[kind].descriptor.found.share == 1
    assert found["plain"].mq.found.share == found["flip"].mq_aware.found.share == 1
    assert found["flip"].mq.found.share < 0.1
    assert found["shift"].descriptor.found.share < 0.3
    assert found["shift"].mq_aware.found.share > 0.9  # by one pixel, which the configuration's shifts allow
    assert trial.shift_pixels == 1


@pytest.mark.parametrize(
    ("training", "held_out", "line"),
    [
        (7, 80, "data.train_limit: 7 training images: at least 8"),
        (60, 19, "data.held_out: 19 held-out images: at least 20 are needed to choose a threshold by"),
    ],
)
def test_too_few_images_are_refused_by_number(training: int, held_out: int, line: str) -> None:
    with pytest.raises(Fatal, match=line):
        tried(noise(training, 0), noise(held_out, 1), Pixels(), RunConfig(), CPU)  # type: ignore[arg-type]

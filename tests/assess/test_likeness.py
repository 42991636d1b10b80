"""Copies on a descriptor: counted beside the floor and the base model, judged, and kept from look to look."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.measures.test_onnx import flatten
from tests.runs import tiny
from unecho.components.assess.assessment import Assessment, Floor, assess
from unecho.components.assess.beside import Beside
from unecho.components.assess.instruments import Instruments, descriptor_of
from unecho.components.assess.probe import _floor_from, floor_tensors
from unecho.components.assess.reference import Reference
from unecho.components.measures.features import features_of
from unecho.components.measures.images import InMemory
from unecho.components.measures.verdict import Memorization
from unecho.components.progress import Silent

CPU = torch.device("cpu")
NUMBERS = ("evaluate.descriptor_transform=numbers", "evaluate.descriptor_mean=0.5", "evaluate.descriptor_threshold=0.9")


SIDE = 16


def noise(seed: int, count: int) -> np.ndarray:
    """Images that are copies of none."""
    return np.random.default_rng(seed).integers(0, 256, (count, 1, SIDE, SIDE), dtype=np.uint8)


TRAINING = noise(1, 60)
REFERENCE = Reference(None, InMemory(TRAINING), InMemory(noise(2, 30)))  # type: ignore[arg-type]


def with_copies(seed: int, count: int, exact: int, mirrored: int) -> np.ndarray:
    """So many images, of which the first ones are copies of training images in their order."""
    images = noise(seed, count)
    images[:exact] = TRAINING[:exact]
    images[exact : exact + mirrored] = TRAINING[exact : exact + mirrored, :, :, ::-1]
    return images


@pytest.fixture
def model(tmp_path: Path) -> str:
    """A descriptor: the pixels less their middle."""
    return flatten(tmp_path / "pixels.onnx", ["n", 1, SIDE, SIDE])


def assessed(model: str, images: np.ndarray, reference: Reference = REFERENCE, **options: object) -> Assessment:
    config = tiny("evaluate.neighbours=10", f"evaluate.descriptor={model}", *NUMBERS)
    features = features_of(config.evaluate, CPU, lambda address: None)
    instruments = Instruments(features, descriptor_of(config, CPU))
    return assess(InMemory(images), reference, instruments, config, CPU, Silent(), attack=False, **options)  # type: ignore[arg-type]


def named(found: Assessment, name: str) -> Memorization:
    return next(figure for figure in found.memorization if figure.name == name)


def test_copies_are_counted_by_similarity_mirrored_ones_too_and_decide_where_nothing_else_is_said(model: str) -> None:
    found = assessed(model, with_copies(3, 40, exact=8, mirrored=4))
    for name in ("descriptor", "descriptor_second"):
        figure = named(found, name)
        assert (figure.generated.count, figure.generated.of) == (12, 40)
        assert (figure.floor.count, figure.floor.of) == (0, 30)
    assert named(found, "descriptor").decides
    assert named(found, "descriptor").verdict == "above"
    assert not named(found, "descriptor_second").decides
    assert found.likeness.similar.index[:12, 0].tolist() == list(range(12))


def test_whole_copies_and_template_copies_are_counted_apart(model: str) -> None:
    images = noise(3, 40)
    images[:3] = TRAINING[:3]
    images[3:7, :, :10] = TRAINING[3:7, :, :10]  # two and a half of the four rows of blocks
    found = assessed(model, images)
    assert found.likeness.whole.nonzero()[0].tolist() == [0, 1, 2]
    assert found.likeness.template.nonzero()[0].tolist() == [3, 4, 5, 6]
    assert (named(found, "descriptor_whole").generated.count, named(found, "descriptor_whole").floor.count) == (3, 0)
    template = named(found, "descriptor_template")
    assert (template.generated.count, template.floor.count) == (4, 0)


def test_what_is_kept_of_a_further_view_counts_and_what_the_originals_alone_would_show_is_known(model: str) -> None:
    view = noise(9, 60)
    images = noise(3, 20)
    images[:2] = TRAINING[:2]
    images[2:5] = view[2:5]
    images[5:7, :, :10] = view[5:7, :, :10]
    found = assessed(model, images, replace(REFERENCE, views=(InMemory(view),))).likeness
    assert found.whole.nonzero()[0].tolist() == [0, 1, 2, 3, 4]
    assert found.template.nonzero()[0].tolist() == [5, 6]
    whole, template = found.by_originals
    assert (whole.nonzero()[0].tolist(), template.any()) == ([0, 1], False)


def test_of_very_small_images_no_extent_is_told(tmp_path: Path) -> None:
    model = flatten(tmp_path / "small.onnx", ["n", 1, 8, 8])
    small = Reference(None, InMemory(TRAINING[:, :, :8, :8]), InMemory(noise(2, 30)[:, :, :8, :8]))  # type: ignore[arg-type]
    found = assessed(model, noise(3, 20)[:, :, :8, :8], small)
    names = [figure.name for figure in found.memorization if figure.on_descriptor]
    assert names == ["descriptor", "descriptor_second"]
    assert not found.likeness.copies(0.9, 1 / 3).any()


def test_the_base_model_stands_beside_and_for_the_prompts_own_image_it_is_the_floor(model: str) -> None:
    generated = with_copies(3, 20, exact=4, mirrored=2)
    own = np.array([0, 1, 9, -1, 4, 5, *[30] * 14])  # images 0, 1, 4 and 5 are their prompts' own
    base = Beside(base=InMemory(with_copies(4, 10, exact=1, mirrored=0)))
    found = assessed(model, generated, beside=base, own=own)
    assert (named(found, "descriptor").base.count, named(found, "descriptor").base.of) == (1, 10)
    mine = named(found, "descriptor_own")
    assert (mine.generated.count, mine.generated.of) == (4, 19)
    assert (mine.base.count, mine.base.of, mine.floor, mine.verdict) == (1, 9, None, "undecided")
    assert found.descriptor.own.above == mine.generated
    assert found.descriptor.base.above == named(found, "descriptor").base


def test_the_95th_percentile_has_an_interval_that_holds_it_and_the_floors_beside_it(model: str) -> None:
    found = assessed(model, with_copies(3, 40, exact=10, mirrored=0)).descriptor
    assert found.generated.high == pytest.approx(1.0, abs=1e-5)  # a quarter are copies
    assert found.generated.median < 0.9
    for similarities in (found.generated, found.held_out):
        assert similarities.high_low <= similarities.high <= similarities.high_high
        assert similarities.median < similarities.high
    assert found.held_out.high < 0.9
    assert found.metrics() == {"similarity_95": found.generated.high, "similarity_95_floor": found.held_out.high}


def test_without_held_out_images_a_descriptor_has_no_floor_and_no_verdict(model: str) -> None:
    nothing = Reference(None, InMemory(TRAINING), InMemory(noise(2, 0)))  # type: ignore[arg-type]
    found = assessed(model, with_copies(3, 20, exact=5, mirrored=0), nothing)
    assert named(found, "descriptor").generated.count == 5
    assert (named(found, "descriptor").floor, named(found, "descriptor").verdict) == (None, "undecided")
    assert found.descriptor.held_out is None


def test_a_kept_floor_gives_what_measuring_it_anew_gives_and_one_without_a_descriptor_is_read(model: str) -> None:
    images = with_copies(3, 20, exact=5, mirrored=0)
    first = assessed(model, images)
    kept = _floor_from(floor_tensors(first.floor))
    again = assessed(model, images, replace(REFERENCE, held_out=InMemory(noise(7, 30))), floor=kept)
    assert again.memorization == first.memorization
    assert again.descriptor == first.descriptor
    old = _floor_from(floor_tensors(Floor(first.floor.closeness, first.floor.near)))
    assert old.likeness is None
    assert assessed(model, images, floor=old).memorization == first.memorization


def test_further_images_are_measured_in_the_same_pass(model: str) -> None:
    found = assessed(model, with_copies(3, 20, exact=5, mirrored=0), also=InMemory(with_copies(5, 6, 1, 1)))
    assert found.likeness_also.copies(0.9, 1 / 3).tolist() == [True, True, False, False, False, False]


def test_copies_of_reconstructions_are_found_and_the_ceiling_says_what_training_images_alone_would_find(
    model: str,
) -> None:
    others = noise(9, 60)  # as of a VAE that changes everything
    images = with_copies(3, 20, exact=2, mirrored=0)
    images[5:9] = others[:4]
    ceiling = InMemory(others[np.arange(20) * 3])
    reference = replace(REFERENCE, views=(InMemory(others),))
    found = assessed(model, images, reference, beside=Beside(ceiling=ceiling))
    figure = named(found, "descriptor")
    assert (figure.generated.count, figure.floor.count) == (6, 0)
    assert (figure.ceiling.share, figure.ceiling_pixels.share, figure.ceiling.of) == (1, 0, 20)
    whole = named(found, "descriptor_whole")
    assert (whole.generated.count, whole.ceiling.count, whole.ceiling_pixels.count) == (6, 20, 0)
    alike = assessed(model, images, REFERENCE, beside=Beside(ceiling=InMemory(TRAINING[np.arange(20) * 3])))
    assert named(alike, "descriptor").ceiling_pixels.share == 1

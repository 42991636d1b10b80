import torch

from unecho.components.config.fields import TAA
from unecho.components.measures.transforms import IDENTITY, Transform, stages

ROW = torch.tensor([[[[1, 2, 3], [4, 5, 6]]]])


def test_a_shift_repeats_the_edge():
    assert Transform(right=1)(ROW)[0, 0].tolist() == [[1, 1, 2], [4, 4, 5]]
    assert Transform(down=-1)(ROW)[0, 0].tolist() == [[4, 5, 6], [4, 5, 6]]


def test_an_image_is_mirrored_before_it_is_shifted():
    assert Transform(flip=True)(ROW)[0, 0].tolist() == [[3, 2, 1], [6, 5, 4]]
    assert Transform(flip=True, right=1)(ROW)[0, 0].tolist() == [[3, 3, 2], [6, 6, 5]]


def test_the_flip_is_allowed_also_when_no_augmentation_is_invertible():
    assert stages(TAA(augmentations=("randaugment",))) == ((IDENTITY,), (Transform(flip=True),))


def test_a_variant_without_taa_is_measured_as_the_one_with_it():
    assert stages(TAA(enabled=False)) == stages(TAA(enabled=True))


def test_shifts_of_up_to_shift_pixels_along_each_axis_are_allowed_with_and_without_flip():
    plain, further = stages(TAA(augmentations=("shift",), shift_pixels=2))
    assert plain == (IDENTITY,)
    assert len({*plain, *further}) == len(further) + 1 == 2 * 5 * 5
    assert Transform(flip=True, down=-2, right=2) in further


def test_a_shift_as_wide_as_the_image_leaves_its_edge_alone():
    assert Transform(right=3)(ROW)[0, 0].tolist() == [[1, 1, 1], [4, 4, 4]]
    assert Transform(right=-4, down=1)(ROW)[0, 0].tolist() == [[3, 3, 3], [3, 3, 3]]

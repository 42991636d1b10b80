"""Whole-image and template copies: planted pairs, whose blocks that match are counted by hand."""

import numpy as np
import pytest

from unecho.components.measures import template
from unecho.components.measures.template import Extent, blocks_a_side, copied_extent

SIDE, BLOCK = 32, 4
"""Eight blocks of four pixels a side."""


def noise(seed: int, count: int = 1, side: int = SIDE) -> np.ndarray:
    """Images in which every block has texture, and no two blocks are alike, uint8 [count, 3, side, side]."""
    return np.random.default_rng(seed).integers(0, 256, (count, 3, side, side), np.uint8)


def replaced(image: np.ndarray, blocks: np.ndarray) -> np.ndarray:
    """Another picture in the blocks, bool [8, 8], of an image [1, 3, 32, 32]."""
    here = np.kron(blocks, np.ones((BLOCK, BLOCK), bool))
    return np.where(here, noise(99), image)


def rectangle(first: int, stop: int) -> np.ndarray:
    blocks = np.zeros((8, 8), bool)
    blocks[first:stop, first:stop] = True
    return blocks


def told(extent: Extent) -> list[str]:
    return [
        "whole" if w else "template" if t else "neither" for w, t in zip(extent.whole, extent.template, strict=True)
    ]


def test_another_foreground_in_the_same_scene_is_a_template_copy_and_the_scene_itself_a_whole_one() -> None:
    scene = noise(0)
    extent = copied_extent(np.concatenate([replaced(scene, rectangle(2, 6)), scene]), np.concatenate([scene, scene]))
    assert told(extent) == ["template", "whole"]
    assert extent.matched.tolist() == [(64 - 16) / 64, 1.0]


def test_a_frame_around_a_large_foreground_is_a_template_though_less_than_half_of_it_is_kept() -> None:
    scene = noise(0)
    extent = copied_extent(replaced(scene, rectangle(1, 7)), scene)
    assert extent.matched.tolist() == [28 / 64]
    assert told(extent) == ["template"]


def test_as_many_blocks_that_lie_apart_are_none() -> None:
    scene = noise(0)
    apart = np.indices((8, 8)).sum(axis=0) % 2 == 0  # a chequered 32 of 64
    apart[:2, :4] = True  # and four more
    extent = copied_extent(replaced(scene, apart), scene)
    assert extent.matched.tolist() == [28 / 64]
    assert told(extent) == ["neither"]


def test_a_tenth_of_the_blocks_may_differ_in_a_whole_copy() -> None:
    scene = noise(0)
    six, seven = np.zeros((8, 8), bool), np.zeros((8, 8), bool)
    six[0, :6] = seven[0, :7] = True
    extent = copied_extent(np.concatenate([replaced(scene, six), replaced(scene, seven)]), np.repeat(scene, 2, axis=0))
    assert told(extent) == ["whole", "template"]  # 58 and 57 of 64: 90.6 % and 89.1 %


def test_brightness_contrast_and_a_tint_do_not_hide_a_copy() -> None:
    scene = noise(0)
    gain, offset = np.array([0.4, 0.7, 0.5]).reshape(3, 1, 1), np.array([90, 10, 60]).reshape(3, 1, 1)
    assert told(copied_extent((scene * gain + offset).astype(np.uint8), scene)) == ["whole"]


def test_a_negative_is_no_copy() -> None:
    assert told(copied_extent(255 - noise(0), noise(0))) == ["neither"]


@pytest.mark.parametrize(("by", "expected"), [((2, 0), "whole"), ((-2, 2), "whole"), ((4, 0), "neither")])
def test_a_mirrored_copy_may_be_shifted_by_a_sixteenth_of_the_side(by: tuple[int, int], expected: str) -> None:
    wide = noise(0, side=SIDE + 8)
    there = wide[:, :, 4 : 4 + SIDE, 4 : 4 + SIDE]
    here = wide[:, :, 4 + by[0] : 4 + by[0] + SIDE, 4 + by[1] : 4 + by[1] + SIDE][..., ::-1]
    assert told(copied_extent(here, there)) == [expected]


def test_unrelated_and_flat_images_are_neither() -> None:
    flat = np.full((1, 3, SIDE, SIDE), 200, np.uint8)
    extent = copied_extent(
        np.concatenate([noise(1), flat, flat, noise(0)]), np.concatenate([noise(0), noise(0), flat, flat])
    )
    assert told(extent) == ["neither"] * 4
    assert extent.matched[[1, 2, 3]].tolist() == [0, 0, 0]


@pytest.mark.parametrize(("textured", "expected"), [(5, "neither"), (6, "whole")])
def test_of_a_few_blocks_with_texture_nothing_is_told(textured: int, expected: str) -> None:
    blocks = np.zeros((8, 8), bool)
    blocks[3, :textured] = True
    training = replaced(np.full((1, 3, SIDE, SIDE), 128, np.uint8), blocks)
    found = [copied_extent(training, training), copied_extent(noise(5), training)]
    assert told(found[0]) == [expected]
    assert told(found[1]) == ["neither"]


def test_where_the_training_image_is_flat_an_image_may_hold_anything() -> None:
    training = replaced(np.full((1, 3, SIDE, SIDE), 128, np.uint8), rectangle(0, 4))
    image = np.where(training == 128, noise(7), training)
    assert told(copied_extent(image, training)) == ["whole"]


def test_images_above_64_pixels_are_averaged_down_and_shifts_with_them() -> None:
    wide = np.kron(noise(0, side=64 + 4), np.ones((4, 4), np.uint8))  # 272 pixels, four a pixel of the average
    extent = copied_extent(wide[:, :, :256, :256], wide[:, :, 16:, 16:])
    assert told(extent) == ["whole"]  # a sixteenth of 256


def test_a_grey_image_of_eight_pixels_has_sixteen_blocks() -> None:
    image = np.random.default_rng(3).integers(0, 256, (1, 1, 8, 8), np.uint8)
    other = image.copy()
    other[:, :, :4] = 255 - other[:, :, :4]
    assert blocks_a_side(8) == 4
    extent = copied_extent(np.concatenate([image, other]), np.concatenate([image, image]))
    assert told(extent) == ["whole", "template"]
    assert extent.matched.tolist() == [1.0, 0.5]


def test_pairs_are_told_apart_each_by_itself_however_many_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    training = noise(0, 5)
    images = np.concatenate([training[:2], replaced(training[2:3], rectangle(2, 6)), noise(1, 2)])
    together = copied_extent(images, training)
    monkeypatch.setattr(template, "_AT_ONCE_BYTES", 1)
    apart = copied_extent(images, training)
    assert told(together) == told(apart) == ["whole", "whole", "template", "neither", "neither"]
    np.testing.assert_array_equal(together.matched, apart.matched)


def test_of_no_pairs_there_is_nothing() -> None:
    extent = copied_extent(noise(0, 0), noise(0, 0))
    assert extent.whole.shape == extent.template.shape == extent.matched.shape == (0,)

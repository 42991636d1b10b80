import math

import pytest
from scipy.stats import norm

from unecho.components.measures.intervals import highest_share, p_beyond
from unecho.components.measures.sample_size import enough_below, enough_beside_floor


@pytest.mark.parametrize(("limit", "images"), [(0.01, 299), (0.05, 59), (0.001, 2995)])
def test_without_copies_so_many_images_show_a_share_as_the_rule_of_three_says(limit: float, images: int):
    assert images == math.ceil(math.log(0.05) / math.log(1 - limit))
    assert enough_below(0.0, limit, 0.95) == images


def test_without_copies_beside_a_floor_of_none_the_score_test_needs_what_its_formula_says():
    images = math.ceil(norm.ppf(0.95) ** 2 * 0.98 / 0.02)
    assert images == 133
    assert enough_beside_floor(0.0, 0, 64, 0.02, 0.95) == images


def test_one_image_fewer_would_not_do():
    enough = enough_below(0.005, 0.01, 0.95)
    assert enough is not None
    assert highest_share(0.005 * enough, enough, 0.95) <= 0.01 < highest_share(0.005 * (enough - 1), enough - 1, 0.95)
    enough = enough_beside_floor(0.01, 5, 500, 0.02, 0.95)
    assert enough is not None
    assert (
        p_beyond(0.01 * enough, enough, 5, 500, 0.02) < 0.05 <= p_beyond(0.01 * (enough - 1), enough - 1, 5, 500, 0.02)
    )


def test_a_share_at_its_limit_and_few_held_out_images_are_not_helped_by_any_number():
    assert enough_below(0.01, 0.01, 0.95) is None
    assert enough_beside_floor(0.05, 1, 20, 0.02, 0.95) is None

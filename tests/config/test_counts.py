"""A configuration against the number of images."""

import pytest

from unecho.components.config import resolve
from unecho.components.config.counts import by_candidates, check_counts
from unecho.components.failure import Fatal


@pytest.mark.parametrize(
    ("settings", "counts", "line"),
    [
        (("iet.shards=97", "train.drop_last=false"), (96, 64), "iet.shards: 97 is more than the 96 training samples"),
        (("train.batch_size=49",), (96, 64), "train.batch_size: 49 is more than a shard's 48 samples"),
        (("train.batch_size=49", "train.drop_last=false"), (96, 64), None),
        ((), (96, 1), "data.held_out: 0.5 leaves 1 held-out images"),
        (("evaluate.neighbours=97",), (96, 64), "evaluate.neighbours: 97 is more than the 96 training images"),
        (("evaluate.neighbours=96",), (96, 64), None),
        (
            ("evaluate.precision_recall_neighbours=32",),
            (96, 64),
            "evaluate.precision_recall_neighbours: 32 needs more than 32 images of each set",
        ),
        (("evaluate.precision_recall_neighbours=31",), (96, 64), None),
    ],
)
def test_too_few_images_for_shards_batches_or_measures_is_one_line_that_names_the_field(
    settings: tuple[str, ...], counts: tuple[int, int], line: str | None
):
    config = resolve("tiny", settings=settings)
    if line is None:
        check_counts(config, *counts)
        return
    with pytest.raises(Fatal) as stop:
        check_counts(config, *counts)
    assert str(stop.value).startswith(line)
    assert "\n" not in str(stop.value)


def test_candidates_are_for_many_images_among_more_than_a_million_training_images() -> None:
    auto = resolve("digits")
    assert not by_candidates(auto, 10_000, 1_000_000)
    assert by_candidates(auto, 10_000, 1_000_001)
    assert not by_candidates(auto, 256, 10_000_000), "a look"
    assert not by_candidates(resolve("digits", settings=("evaluate.search=exact",)), 10_000, 10_000_000)
    assert by_candidates(resolve("digits", settings=("evaluate.search=candidates",)), 2, 100)

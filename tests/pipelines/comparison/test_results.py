"""Figures over seeds, worked out by hand, and how they are written."""

import re
from dataclasses import replace

import pytest

from tests.pipelines.comparison.made import result, share
from unecho.components.measures.alignment_figures import Aligned, Alignment
from unecho.components.measures.captions import Captions
from unecho.components.measures.intervals import Mean
from unecho.components.measures.verdict import beside_floor
from unecho.components.report.tables import aligned, markdown
from unecho.pipelines.comparison.arms import Arm
from unecho.pipelines.comparison.plot import Point, scatter
from unecho.pipelines.comparison.results import Result, Spread, summaries
from unecho.pipelines.comparison.tables import comparison_tables, shares, spread

ARMS = [Arm("default", "default"), Arm("iet-agc+", "iet-agc+")]
RESULTS = [
    result("default", 0, 400, 2.0, train_s=100),
    result("iet-agc+", 0, 10, 1.0, train_s=120),
    result("default", 1, 500, 4.0, train_s=100),
    result("iet-agc+", 1, 30, 3.0, train_s=140),
]


def test_means_and_spreads_are_over_seeds() -> None:
    plain, ours = summaries(ARMS, RESULTS)
    near = next(m for m in plain.memorization if (m.measure, m.aware, m.threshold) == ("mq", True, 0.1))
    assert near.generated.mean == pytest.approx(0.45)
    assert near.generated.sd == pytest.approx(0.1 / 2**0.5)  # of two values: their distance over the root of 2
    assert near.floor.mean == pytest.approx(0.02)
    assert (ours.visits.mean, ours.augmented.mean) == (500, pytest.approx(0.2))


def test_quality_is_related_to_plain_training_with_the_same_seed() -> None:
    ours = summaries(ARMS, RESULTS)[1]
    pixels, onnx = ours.quality
    assert pixels.of_reference is not None
    assert pixels.all_of_reference == pixels.of_reference  # these reports have one set
    assert pixels.of_reference.mean == pytest.approx((1 / 2 + 3 / 4) / 2)
    assert onnx.frechet.mean == pytest.approx(20)
    assert ours.time_of_reference == pytest.approx(1.3)


def test_without_plain_training_nothing_is_related_to_it() -> None:
    (ours,) = summaries(ARMS, RESULTS[1::2])
    assert ours.quality[0].of_reference is None
    assert ours.time_of_reference is None


def test_a_threshold_is_shown_only_where_its_floor_is_low_in_every_run() -> None:
    odd = result("iet-agc+", 2, 10, 1.0, floor=150)
    for found, wanted in ((RESULTS, True), ([*RESULTS, odd], False)):
        by_key = {(m.measure, m.aware, m.threshold): m.informative for m in summaries(ARMS, found)[0].memorization}
        assert by_key["mq", True, 0.1] is wanted
        assert by_key["mq", True, 0.4] is False  # its floor is 20 %


def test_lost_visits_have_a_column_where_a_queue_lost_any() -> None:
    def cost(results: list[Result]) -> list[str]:
        return aligned(comparison_tables(summaries(ARMS, results))[-1])

    assert "lost" not in cost(RESULTS)[0]
    queued = RESULTS[1].figures.provenance.model_copy(update={"lost_share": 0.25})
    figures = RESULTS[1].figures.model_copy(update={"provenance": queued})
    lines = cost([RESULTS[0], replace(RESULTS[1], figures=figures)])
    assert lines[0].split() == ["visits", "skipped", "lost", "augmented", "seconds", "x"]
    assert [line.split()[3] for line in lines[1:]] == ["0.0", "25.0"]
    assert all(len(line) <= 80 for line in lines)


def test_skips_count_as_skipped_only_where_they_are_dropped() -> None:
    plain, ours = summaries(ARMS, RESULTS)
    assert (plain.skipped.mean, ours.skipped.mean) == (0, pytest.approx(0.1))


def test_verdicts_are_counted_over_seeds() -> None:
    plain, ours = summaries(ARMS, RESULTS)
    assert plain.verdicts == {"above": 2}
    assert ours.verdicts == {"at_or_below": 1, "unclear": 1}  # 10 and 30 of 1,000 beside a floor of 20, margin 2 %


def test_one_seed_has_no_spread() -> None:
    assert Spread.of([0.25]) == Spread(mean=0.25, sd=None)
    assert (shares(Spread.of([0.25])), spread(Spread.of([12.345]))) == ("25.0", "12.3")
    assert spread(Spread(mean=0.56789, sd=0.0123)) == "0.568 ±0.012"
    assert spread(Spread(mean=1234.5, sd=9.9)) == "1,234 ±10"


def test_the_tables_fit_80_columns_and_stand_in_markdown() -> None:
    found = comparison_tables(summaries(ARMS, RESULTS))
    text = [line for table in found for line in (table.title, *aligned(table))]
    assert max(len(line) for line in text) <= 80
    row = next(line for line in text if line.startswith("default"))
    assert row.split()[:3] == ["default", "45.0", "±7.1"]
    assert "MQ<0.4" not in "".join(text)  # its floor is 20 %
    assert "|  | MQ&lt;0.1 | extracted | at floor |" in [line for table in found for line in markdown(table)]
    assert "| floor | 2.0 ±0.0 | 0.0 ±0.0 |  |" in [line for table in found for line in markdown(table)]
    plain = next(table for table in found if table.title.startswith("Memorization, plain"))
    assert plain.rows[0] == ["default", "45.5 ±7.1"]


def test_of_a_descriptors_figures_the_first_has_a_column_in_front() -> None:
    def described(found: Result) -> Result:
        own = [
            beside_floor("descriptor", True, 0.5, share(300), share(20)),
            beside_floor("descriptor_template", True, 0.5, share(10), share(10)),
        ]
        figures = found.figures.model_copy(update={"memorization": [*own, *found.figures.memorization]})
        return replace(found, figures=figures)

    table = comparison_tables(summaries(ARMS, [described(found) for found in RESULTS]))[0]
    assert table.header == ["", "similarity>0.5", "MQ<0.1", "extracted", "at floor"]
    assert table.rows[0][1] == "30.0 ±0.0"
    assert max(len(line) for line in aligned(table)) <= 80


def test_the_plot_has_a_point_a_run_the_floor_and_what_real_images_reach() -> None:
    points = [Point("default", 0.5, 2.0), Point("a<b", 0.0, 0.0)]
    svg = str(scatter(points, floor=0.25, real=1.0, x_name="memory", y_name="distance"))
    # axes run from 0 to 50 % and from 0 to 2: pixels 62 to 616, and 352 up to 16
    assert re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)"', svg)[0] == ("616.0", "16.0")
    assert '<line class="mark" x1="339.0" x2="339.0"' in svg
    assert re.search(r'<line class="mark"[^>]*y1="184.0" y2="184.0"', svg)
    assert "a&lt;b" in svg
    assert "a<b" not in svg


def test_quality_of_a_text_to_image_model_says_what_its_images_were_asked_for() -> None:
    def asked(result: Result, captions: Captions) -> Result:
        quality = result.figures.quality
        assert quality is not None
        update = {"quality": quality.model_copy(update={"captions": captions})}
        return replace(result, figures=result.figures.model_copy(update=update))

    def titles(results: list[Result]) -> list[str]:
        tables = comparison_tables(summaries(ARMS, results))
        return [table.title for table in tables if table.title.startswith("Quality")]

    held_out = [asked(result, "held_out") for result in RESULTS]
    assert titles(held_out)[0] == "Quality of images of held-out captions: Frechet (pixels); x: default's; %"
    assert titles([*held_out[:3], asked(RESULTS[3], "training")])[0].startswith("Quality: Frechet (pixels) of as many")
    assert max(map(len, titles(held_out))) <= 80


def mean(value: float) -> Mean:
    return Mean(mean=value, low=value - 0.01, high=value + 0.01, of=100)


def aligned_result(result: Result, of: float) -> Result:
    """A text-to-image run whose images of held-out captions fit them by `of`, real ones by 0.3."""
    own = Aligned(captions="training", generated=mean(of), base=mean(0.2), beyond_base=mean(of - 0.2))
    sets = [Aligned(captions="held_out", generated=mean(of)), own]
    found = Alignment(model="clip", digest="f" * 64, sets=sets, real=mean(0.3))
    return replace(result, figures=result.figures.model_copy(update={"alignment": found}))


def test_text_alignment_is_a_table_where_every_run_has_it() -> None:
    results = [aligned_result(r, of) for r, of in zip(RESULTS, (0.22, 0.25, 0.24, 0.27), strict=True)]
    table = comparison_tables(summaries(ARMS, results))[-2]
    assert table.title == "Text alignment of images of held-out captions; over base: of own prompts"
    assert table.rows == [
        ["default", "0.230 ±0.014", "0.030 ±0.014"],  # of two values: their distance over the root of 2
        ["iet-agc+", "0.260 ±0.014", "0.060 ±0.014"],
        ["real images", "0.300 ±0.000", "-"],
    ]
    lacking = [*results[:3], RESULTS[3]]
    assert not [t for t in comparison_tables(summaries(ARMS, lacking)) if t.title.startswith("Text alignment")]

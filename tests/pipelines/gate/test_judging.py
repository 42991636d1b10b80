"""What a policy makes of a report, figure by figure."""

from typing import Any

import pytest

from tests.pipelines.gate.reports import reported, with_data
from tests.report.kept import kept, without_floor
from unecho.components.config.resolve import check_as
from unecho.components.measures.alignment_figures import Aligned, Alignment, Drift
from unecho.components.measures.intervals import Mean, Share
from unecho.components.report.figures import Figures
from unecho.pipelines.gate.judging import judge
from unecho.pipelines.gate.policy import Policy
from unecho.pipelines.gate.result import Check


def checks(figures: Figures, released: Figures | None = None, **policy: Any) -> list[Check]:
    return judge(figures, check_as(Policy, policy), released)


def of_figure(figures: Figures, name: str, released: Figures | None = None, **limits: float) -> Check:
    """The check of the one limit."""
    group = "memorization" if {"share_at_most", "above_floor_at_most"} & set(limits) else "quality"
    (found,) = (c for c in checks(figures, released, **{group: {name: limits}}) if c.figure == name)
    return found


@pytest.mark.parametrize(
    ("near", "of", "verdict", "strict", "lenient"),
    [
        (2, 2048, "at_or_below", True, True),
        (4, 200, "unclear", False, True),
        (100, 2048, "above", False, False),
    ],
)
def test_only_what_is_shown_passes_unless_undecided_may(
    near: int, of: int, verdict: str, strict: bool, lenient: bool
) -> None:
    figures = reported(near, of)
    assert figures.headline.verdict == verdict
    assert all(check.passed for check in checks(figures)) is strict
    assert all(check.passed for check in checks(figures, verdict="not_echo")) is lenient


def test_a_report_without_a_floor_is_not_shown_to_be_at_one() -> None:
    figures = without_floor(reported())
    assert [check.figure for check in checks(figures) if not check.passed] == ["verdict"]
    found = of_figure(figures, "mq_aware_0.1", above_floor_at_most=0.02)
    assert (found.passed, found.reason) == (
        False,
        "no floor without held-out images: audit it with --held-out SOURCE",
    )
    assert of_figure(figures, "mq_aware_0.1", share_at_most=0.02).passed


def test_a_smoke_run_passes_only_where_the_policy_says_so() -> None:
    figures = reported(smoke="only 32 generated images")
    (failed,) = (check for check in checks(figures) if not check.passed)
    assert (failed.figure, failed.reason) == ("smoke", "only 32 generated images: its figures decide nothing")
    assert all(check.passed for check in checks(figures, smoke="allow"))


def test_a_share_beside_its_floor_goes_by_the_test_that_the_verdict_goes_by() -> None:
    """The margin and the level are the verdict's here, so that its words say what must come out."""
    said = []
    for near in (0, 20, 30, 40, 60, 100):
        figures = reported(near)
        figure = next(f for f in figures.memorization if f.name == "mq_aware_0.1")
        assert figure.p_beyond is not None
        said.append(of_figure(figures, "mq_aware_0.1", above_floor_at_most=0.02).passed)
        assert said[-1] is (figure.p_beyond < 0.05)
    assert said[0]
    assert not said[-1]


def test_a_figure_whose_floor_is_high_passes_with_a_word_of_warning() -> None:
    found = of_figure(reported(240, 2048, 60), "mq_aware_0.1", above_floor_at_most=0.05)
    assert (found.passed, found.reason) == (True, "its floor is 12.0 %: so high that it says little about copies")
    assert of_figure(reported(), "mq_aware_0.1", above_floor_at_most=0.02).reason == ""


def test_a_share_above_its_limit_and_one_that_may_be_are_told_apart() -> None:
    above = of_figure(reported(100), "mq_aware_0.1", above_floor_at_most=0.02)
    assert above.reason == "4.5 points above the floor"  # 100 / 2048 - 2 / 500
    perhaps = of_figure(reported(4, 200), "mq_aware_0.1", above_floor_at_most=0.02)
    assert perhaps.images is not None
    assert perhaps.images > 200
    assert perhaps.reason.startswith("with 95 % confidence at most ")
    assert perhaps.reason.endswith(f"about {perhaps.images:,} generated images with the same share would")
    assert perhaps.bound is not None
    assert perhaps.bound > 0.02


def test_a_sample_that_cannot_show_it_fails_even_without_copies_and_says_how_many_images_would() -> None:
    found = of_figure(reported(0, 100, 0), "mq_aware_0.1", above_floor_at_most=0.02)
    assert not found.passed
    assert found.images == 133  # z^2 (1 - m) / m
    assert found.reason == (
        "100 generated images cannot show less than 2 points above the floor with 95 % confidence, even with no copies "
        "at all: 133 would"
    )
    assert of_figure(reported(0, 133, 0), "mq_aware_0.1", above_floor_at_most=0.02).passed
    assert of_figure(reported(0, 100, 0), "mq_aware_0.1", above_floor_at_most=0.02, confidence=0.9).passed
    few = of_figure(reported(0, 298), "extraction", share_at_most=0.01)
    assert few.images == 299
    assert few.reason.startswith("298 training images cannot show at most 1 % with 95 % confidence")
    assert of_figure(reported(0, 299), "extraction", share_at_most=0.01).passed


def test_a_share_by_itself_goes_by_its_upper_bound() -> None:
    found = of_figure(reported(2, 1000), "mq_aware_0.1", share_at_most=0.01)
    assert found.passed
    assert found.bound == pytest.approx(0.00628, abs=1e-5)  # Clopper and Pearson: 0.05 of Binomial(1000, p) are <= 2
    found = of_figure(reported(6, 1000), "mq_aware_0.1", share_at_most=0.01)
    assert not found.passed
    assert "at most 1.2 %, not 1 %; about " in found.reason
    assert of_figure(reported(10, 1000), "mq_aware_0.1", share_at_most=0.01).reason == "1.0 % is not below 1 %"


def test_a_figure_that_the_report_lacks_fails_and_says_what_it_has() -> None:
    copies = of_figure(reported(), "descriptor", share_at_most=0.1)
    assert not copies.passed
    assert copies.reason.startswith("the report has no descriptor; it has mq_0.1, mq_0.2, ")
    quality = of_figure(reported(), "fid", at_most=10)
    assert not quality.passed
    assert quality.reason.startswith("the report has no fid; it has frechet_pixels, ")
    assert not of_figure(without_floor(reported()), "frechet_pixels", at_most=10).passed
    assert of_figure(without_floor(reported()), "frechet_pixels_training", at_most=10).passed


def test_of_a_report_of_version_1_only_plain_copies_and_quality_are_believed() -> None:
    old = kept(1)
    (verdict,) = (check for check in checks(old, verdict="not_echo") if check.figure == "verdict")
    assert (verdict.passed, verdict.reason) == (
        False,
        "a report of version 1 was judged by another test: audit the run anew",
    )
    assert "audit the run anew" in of_figure(old, "mq_aware_0.1", share_at_most=0.5).reason
    assert of_figure(old, "mq_0.1", share_at_most=0.5).passed
    assert of_figure(old, "frechet_pixels", at_most=20).passed
    assert of_figure(old, "kernel_pixels", at_most=20).reason.startswith("the report has no kernel_pixels; it has ")


@pytest.mark.parametrize(
    ("name", "limits", "passed"),
    [
        ("frechet_pixels", {"at_most": 2.0}, True),
        ("frechet_pixels", {"at_most": 1.9}, False),
        ("frechet_pixels", {"ratio_to_real_at_most": 2.0}, True),
        ("frechet_pixels", {"ratio_to_real_at_most": 1.9}, False),
        ("precision", {"at_least": 0.9}, True),
        ("precision_pixels", {"at_least": 0.91}, False),
        ("recall", {"ratio_to_real_at_least": 0.85}, True),  # 0.80 / 0.9375
        ("recall", {"ratio_to_real_at_least": 0.86}, False),
    ],
)
def test_quality_is_limited_by_itself_and_in_units_of_real_images(
    name: str, limits: dict[str, float], passed: bool
) -> None:
    figures = reported(recall_real=Share.counted(30, 32))
    assert of_figure(figures, name, **limits).passed is passed


def test_a_model_on_more_data_is_compared_in_units_of_real_images() -> None:
    """3 of 1.5 beside 2 of 1: neither is better, though the plain ratio is 1.5."""
    released = reported()
    grown = with_data(reported(frechet=3.0, frechet_real=1.5), "0" * 64)
    found = of_figure(grown, "frechet_pixels", released, ratio_to_released_at_most=1.0)
    assert (found.passed, found.bound, found.beside) == (True, 1.0, 2.0)
    worse = of_figure(reported(frechet=3.0), "frechet_pixels", released, ratio_to_released_at_most=1.4)
    assert (worse.passed, worse.bound) == (False, 1.5)
    assert worse.reason == "1.5 times the released model's, where <= 1.4 x is asked for"


def test_figures_that_do_not_compare_fail_and_say_what_differs() -> None:
    released = reported()
    other = reported(digest="f" * 64)
    found = of_figure(other, "frechet_pixels", released, ratio_to_released_at_most=9)
    assert not found.passed
    assert found.reason.startswith("not comparable: file of the features pixels (ffffffffffff, released none): audit")
    found = of_figure(reported(neighbours=5), "recall", released, ratio_to_released_at_least=0.1)
    assert "evaluate.precision_recall_neighbours (5, released 3)" in found.reason
    found = of_figure(with_data(released, "0" * 64), "frechet_pixels_training", released, ratio_to_released_at_most=9)
    assert "data set (000000000000, released 35b6f11e1e64)" in found.reason
    assert "lacks it" in of_figure(released, "kernel_pixels", kept(1), ratio_to_released_at_most=9).reason
    found = of_figure(reported(kernel_real=-0.01), "kernel_pixels", ratio_to_real_at_most=2)
    assert found.reason == "no ratio: real images have -0.01: give it another limit"
    assert not of_figure(reported(kernel_real=-0.01), "kernel_pixels", released, ratio_to_released_at_most=9).passed


def test_the_first_model_has_nothing_to_be_compared_with_and_passes_so() -> None:
    found = of_figure(reported(), "frechet_pixels", ratio_to_released_at_most=1.1)
    assert (found.passed, found.reason) == (True, "nothing is released yet to compare it with")


def test_a_figure_of_no_images_shows_nothing() -> None:
    figures = reported()
    none = [f.model_copy(update={"generated": Share.counted(0, 0)}) for f in figures.memorization]
    found = of_figure(figures.model_copy(update={"memorization": none}), "mq_0.1", share_at_most=0.5)
    assert (found.passed, found.reason) == (False, "the report counts no generated images for it")


def test_text_alignment_and_drift_of_a_text_to_image_model_are_limited_too() -> None:
    def mean(value: float) -> Mean:
        return Mean(mean=value, low=value - 0.01, high=value + 0.01, of=64)

    def text_to_image(aligned: float, drifted: float, model: str = "d" * 64) -> Figures:
        sets = [Aligned(captions="held_out", generated=mean(aligned)), Aligned(captions="general", generated=mean(0.2))]
        drift = Drift(features="pixels", frechet_name="Frechet distance (pixels)", frechet=4, pairs=mean(drifted))
        alignment = Alignment(model="clip", digest=model, sets=sets, real=mean(0.3))
        return reported().model_copy(update={"alignment": alignment, "drift": [drift]})

    figures, released = text_to_image(0.27, 0.6), text_to_image(0.30, 0.5)
    assert of_figure(figures, "alignment", ratio_to_real_at_least=0.9).passed
    assert not of_figure(figures, "alignment", ratio_to_real_at_least=0.91).passed
    worse = of_figure(figures, "alignment", released, ratio_to_released_at_least=0.95)
    assert (worse.passed, worse.bound, worse.shown[0]) == (False, pytest.approx(0.9), "0.270 (0.9 x)")
    assert of_figure(figures, "alignment_general", at_least=0.2).shown[0] == "0.200 ± 0.010"
    assert of_figure(figures, "drift_pixels", at_most=0.6).passed
    assert not of_figure(figures, "drift_pixels", released, ratio_to_released_at_most=1.1).passed
    other = of_figure(text_to_image(0.27, 0.6, "e" * 64), "alignment", released, ratio_to_released_at_least=0.5)
    assert "file of the text-image model (eeeeeeeeeeee, released dddddddddddd)" in other.reason

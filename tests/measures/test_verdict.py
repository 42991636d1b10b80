from typing import Any

import pytest

from unecho.components.config import resolve
from unecho.components.measures.intervals import Share
from unecho.components.measures.verdict import Memorization, judged, smoke_reason
from unecho.components.report.figures import Quality
from unecho.components.report.wording import headline, interval, percent

TINY = resolve("tiny")
DIGITS = resolve("digits")


def figure(generated: tuple[int, int], floor: tuple[int, int], tau: float = 0.1, aware: bool = True) -> Memorization:
    return judged("mq", aware, tau, Share.counted(*generated), Share.counted(*floor))


def quality(**changed: Any) -> Quality:
    share = Share.counted(9, 10)
    same = dict.fromkeys(("precision", "precision_real", "recall", "recall_real"), share)
    sizes = {"images": 10, "reference": 10, "neighbours": 3, "manifold": 10}
    return Quality(
        features="pixels",
        frechet_name="Frechet distance (pixels)",
        frechet=2.0,
        frechet_real=1.0,
        poor=False,
        **same,
        **sizes,
    ).model_copy(update=changed)


@pytest.mark.parametrize(
    ("generated", "floor", "verdict"),
    [
        ((210, 512), (12, 900), "above"),
        ((4, 512), (16, 900), "at_or_below"),
        ((0, 1000), (0, 1000), "at_or_below"),
        ((0, 20), (0, 20), "unclear"),  # 0 of 20 is no proof of anything
        ((14, 512), (16, 900), "unclear"),
        ((900, 1000), (91, 900), "undecided"),
        ((900, 1000), (90, 900), "above"),  # a floor of 10 % still decides
    ],
)
def test_a_figure_says_no_more_than_its_intervals(generated: tuple[int, int], floor: tuple[int, int], verdict: str):
    assert figure(generated, floor).verdict == verdict
    assert figure(generated, floor).decides == (verdict != "undecided")


def test_one_deciding_aware_figure_above_the_floor_is_an_echo_and_is_the_one_cited():
    fine, echo = figure((4, 5000), (16, 9000), 0.1), figure((2000, 5000), (700, 9000), 0.2)
    said = headline([fine, echo], quality(), None)
    assert (said.verdict, said.title) == ("above", "It echoes")
    assert "40.0 % of 5,000" in said.sentence
    assert "MQ < 0.2" in said.sentence
    assert "7.8 %" in said.sentence


def test_at_or_below_needs_every_deciding_figure():
    fine, unsure = figure((4, 5000), (16, 9000)), figure((14, 512), (16, 900), 0.2)
    assert headline([fine, unsure], quality(), None).verdict == "unclear"
    useless = figure((900, 1000), (500, 900), 0.4)
    assert headline([fine, useless], quality(), None).verdict == "at_or_below"
    assert headline([useless], quality(), None).verdict == "undecided"


def test_plain_figures_do_not_make_the_headline():
    plain = figure((210, 512), (12, 900), aware=False)
    assert headline([plain, figure((4, 5000), (16, 9000))], quality(), None).verdict == "at_or_below"


def test_memorization_never_stands_without_quality_and_poor_quality_is_in_the_title():
    fine = figure((4, 5000), (16, 9000))
    assert "Frechet distance (pixels) 2, where real images have 1" in headline([fine], quality(), None).quality
    poor = headline([fine], quality(poor=True), None)
    assert poor.title == "No echo above the floor, but poor images"
    assert "resembles nothing" in poor.quality


def test_a_smoke_run_says_so():
    assert smoke_reason(DIGITS, 32, 900, 10**6, 200) == "only 32 generated and 900 held-out images"
    assert "seen 4 times" in str(smoke_reason(DIGITS, 512, 900, 800, 200))
    assert smoke_reason(DIGITS, 512, 900, 115_200, 200) is None
    assert smoke_reason(TINY, 512, 900, 115_200, 200) == "preset tiny"
    assert headline([figure((4, 5000), (16, 9000))], quality(), "preset tiny").title == "Smoke run: no verdict"


def test_small_shares_keep_a_digit_that_says_something():
    assert [percent(x) for x in (0, 0.0002, 0.0123, 0.999, 1)] == ["0.0 %", "0.02 %", "1.2 %", "99.9 %", "100 %"]
    assert interval(Share.counted(0, 20)) == "0.0 to 16.1 %"

"""The verdict: its error rates by simulation, and that its words say no more than the figures."""

from typing import Any

import numpy as np
import pytest

from unecho.components.config import resolve
from unecho.components.failure import Fatal
from unecho.components.measures.intervals import Share
from unecho.components.measures.quality_figures import Quality
from unecho.components.measures.verdict import Memorization, beside_floor, cited, judged, power, smoke_reason
from unecho.components.report.figures import Headline
from unecho.components.report.tables import short_measure
from unecho.components.report.wording import headline, interval, percent, short_name

TINY = resolve("tiny")
DIGITS = resolve("digits")
MARGIN = 0.02
DECIDING = ("mq_aware_0.1", "second_nearest_aware")
GENERATED, HELD_OUT = 2048, 500
RUNS = 3000


def figure(generated: tuple[int, int], floor: tuple[int, int], measure: str = "mq", **changed: Any) -> Memorization:
    given = {"aware": True, "threshold": 0.1 if measure != "second_nearest" else 1 / 3} | changed
    return beside_floor(measure, generated=Share.counted(*generated), floor=Share.counted(*floor), **given)


def verdict(*figures: Memorization, deciding: tuple[str, ...] = DECIDING) -> str:
    return cited(judged(figures, deciding, MARGIN)).verdict


def said(*figures: Memorization, of: Quality | None = None, smoke: str | None = None) -> Headline:
    return headline(judged(figures, DECIDING, MARGIN), of or quality(), MARGIN, smoke)


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


FINE = figure((4, 5000), (16, 9000))
FINE_SECOND = figure((2, 5000), (9, 9000), "second_nearest")


class TestErrorRates:
    """Models trained again and again, counted by the verdict as a report makes it."""

    @staticmethod
    def outcomes(draw: np.random.Generator, copies: float, floor: float, alike: bool) -> dict[str, float]:
        """Shares of the verdicts over runs.

        Args:
            copies: share of the generated images that are copies; what is no copy is like a held-out image.
            floor: share of real images that a figure takes for copies.
            alike: whether both figures take the same images for copies, or different ones.
        """
        seen: dict[str, int] = {}
        near = floor + copies * (1 - floor)
        for _ in range(RUNS):
            counts = [(int(draw.binomial(GENERATED, near)), int(draw.binomial(HELD_OUT, floor))) for _ in range(2)]
            first, second = (counts[0], counts[0]) if alike else counts
            word = verdict(
                figure((first[0], GENERATED), (first[1], HELD_OUT)),
                figure((second[0], GENERATED), (second[1], HELD_OUT), "second_nearest"),
            )
            seen[word] = seen.get(word, 0) + 1
        return {word: count / RUNS for word, count in seen.items()}

    @pytest.mark.parametrize("floor", [0.0, 0.002, 0.01])
    @pytest.mark.parametrize("alike", [False, True])
    def test_a_perfect_model_is_accused_in_at_most_5_percent_of_runs_and_cleared_in_at_least_90(
        self, floor: float, alike: bool
    ) -> None:
        shares = self.outcomes(np.random.default_rng(1), 0.0, floor, alike)
        assert shares.get("above", 0) <= 0.05
        assert shares["at_or_below"] >= 0.90

    @pytest.mark.parametrize("floor", [0.0, 0.002, 0.005])
    def test_a_model_of_which_2_percent_are_copies_is_accused_in_at_least_90_percent(self, floor: float) -> None:
        assert self.outcomes(np.random.default_rng(2), 0.02, floor, alike=True)["above"] >= 0.90
        assert self.outcomes(np.random.default_rng(3), 0.02, floor, alike=False)["above"] >= 0.90

    @pytest.mark.parametrize("floor", [0.0, 0.005, 0.02])
    def test_a_model_the_margin_above_its_floor_is_cleared_in_hardly_more_than_5_percent(self, floor: float) -> None:
        """By the score test alone, on one figure: its level is that of a normal approximation."""
        draw = np.random.default_rng(4)
        cleared = 0
        for _ in range(RUNS):
            one = figure(
                (int(draw.binomial(GENERATED, floor + MARGIN)), GENERATED),
                (int(draw.binomial(HELD_OUT, floor)), HELD_OUT),
            )
            cleared += (judged([one], DECIDING[:1], MARGIN)[0].p_beyond or 0) < 0.05
        assert cleared / RUNS <= 0.065  # 5 %, its own inexactness, and three deviations of the simulation

    def test_many_images_of_a_perfect_model_are_cleared_and_not_called_too_few(self) -> None:
        draw = np.random.default_rng(5)
        words = [
            verdict(
                figure((int(draw.binomial(65_536, 0.01)), 65_536), (int(draw.binomial(5000, 0.01)), 5000)),
                figure(
                    (int(draw.binomial(65_536, 0.002)), 65_536),
                    (int(draw.binomial(5000, 0.002)), 5000),
                    "second_nearest",
                ),
            )
            for _ in range(500)
        ]
        assert words.count("at_or_below") >= 0.90 * 500
        assert "unclear" not in words

    def test_power_says_what_the_simulation_of_whole_verdicts_says(self) -> None:
        for floor, copies in ((0.0, 0.02), (0.01, 0.02), (0.01, 0.005)):
            told = power(GENERATED, HELD_OUT, floor, copies, MARGIN)
            perfect = self.outcomes(np.random.default_rng(6), 0.0, floor, alike=False)
            echoing = self.outcomes(np.random.default_rng(7), copies, floor, alike=False)
            assert told.perfect_accused == pytest.approx(perfect.get("above", 0), abs=0.03)
            assert told.perfect_cleared == pytest.approx(perfect.get("at_or_below", 0), abs=0.03)
            assert told.copies_accused == pytest.approx(echoing.get("above", 0), abs=0.03)


@pytest.mark.parametrize(
    ("generated", "floor", "expected"),
    [
        ((210, 512), (12, 900), "above"),
        ((4, 512), (16, 900), "at_or_below"),
        ((0, 1000), (0, 1000), "at_or_below"),
        ((0, 20), (0, 20), "unclear"),  # 0 of 20 is no proof of anything
        ((9, 512), (0, 100), "unclear"),
        ((900, 1000), (90, 900), "above"),
    ],
)
def test_a_deciding_figure_says_no_more_than_its_tests(
    generated: tuple[int, int], floor: tuple[int, int], expected: str
) -> None:
    assert verdict(figure(generated, floor), deciding=DECIDING[:1]) == expected


def test_figures_that_were_not_chosen_are_shown_and_not_judged() -> None:
    wide = figure((2000, 5000), (700, 9000), threshold=0.2)
    plain = figure((2000, 5000), (16, 9000), aware=False)
    attack = figure((50, 100), (0, 900), "extraction", guesses=60)
    all_ = judged([FINE, FINE_SECOND, wide, plain, attack], DECIDING, MARGIN)
    assert [one.verdict for one in all_] == ["at_or_below", "at_or_below", "undecided", "undecided", "undecided"]
    assert [one.decides for one in all_] == [True, True, False, False, False]
    assert [one.p_above is None for one in all_] == [False, False, True, True, True]
    assert cited(all_).verdict == "at_or_below"


def test_one_deciding_figure_above_the_floor_is_an_echo_and_the_surest_is_cited() -> None:
    echo = figure((2000, 5000), (9, 9000), "second_nearest")
    line = said(FINE, echo)
    assert (line.verdict, line.title) == ("above", "It echoes")
    assert "40.0 % of 5,000" in line.sentence
    assert "nearest / second < 0.333" in line.sentence
    assert "0.1 %" in line.sentence


def test_no_echo_needs_every_deciding_figure() -> None:
    unsure = figure((5, 200), (2, 100), "second_nearest")
    assert verdict(FINE, FINE_SECOND) == "at_or_below"
    assert verdict(FINE, unsure) == "unclear"
    assert "too few images to tell it from 0 or from 2 percentage points" in said(FINE, unsure).sentence


def test_a_figure_whose_floor_is_high_does_not_speak_before_one_that_says_something_and_the_headline_names_it() -> None:
    blind = figure((1000, 1000), (1000, 1000), "descriptor", threshold=0.5)
    all_ = judged([blind, figure((0, 1000), (0, 1000))], ("descriptor", "mq_aware_0.1"), MARGIN)
    assert (cited(all_).name, cited(all_).verdict) == ("mq_aware_0.1", "at_or_below")
    sentence = headline(all_, None, MARGIN, None).sentence
    assert sentence.startswith("0.0 % of 1,000 generated images")
    assert sentence.endswith(
        "A figure that decides (similarity > 0.5, on the descriptor) says little here: its floor is 100 %, above 10 %."
    )
    assert "little" not in headline(judged([all_[1]], ("mq_aware_0.1",), MARGIN), None, MARGIN, None).sentence


def test_a_threshold_of_similarities_is_shown_in_full() -> None:
    near_one = figure((1, 1000), (0, 1000), "descriptor", threshold=0.9972)
    assert (short_measure(near_one), short_name(near_one)) == ("similarity > 0.9972", "similarity > 0.9972")
    third = figure((1, 1000), (0, 1000), "second_nearest")
    assert (short_measure(third), short_name(third)) == ("near/2nd < 0.33 aware", "nearest / second < 0.333")


def test_two_figures_are_adjusted_for_each_other() -> None:
    other = figure((0, 2048), (0, 500), "second_nearest")
    one = figure((12, 2048), (0, 500))  # (2048 / 2548)^12 = 0.0727, and half of it: 0.0364
    assert judged([one], DECIDING[:1], MARGIN)[0].p_above == pytest.approx(0.0364, abs=1e-3)
    assert verdict(one, deciding=DECIDING[:1]) == "above"
    assert judged([one, other], DECIDING, MARGIN)[0].p_above == pytest.approx(2 * 0.0364, abs=2e-3)
    assert verdict(one, other) == "at_or_below"


def test_the_attack_may_accuse_and_not_acquit() -> None:
    nothing, hit = (figure((count, 100), (0, 900), "extraction", guesses=7) for count in (0, 50))
    chosen = (*DECIDING, "extraction")
    assert verdict(FINE, FINE_SECOND, nothing, deciding=chosen) == "at_or_below"
    assert verdict(FINE, FINE_SECOND, hit, deciding=chosen) == "above"
    assert verdict(nothing, deciding=("extraction",)) == "unclear"


def test_without_a_floor_nothing_is_judged_and_the_first_that_would_decide_is_cited() -> None:
    alone = [
        beside_floor("second_nearest", True, 1 / 3, Share.counted(0, 5000), None),
        beside_floor("mq", True, 0.1, Share.counted(4000, 5000), None),
        beside_floor("mq", False, 0.1, Share.counted(4000, 5000), None),
    ]
    all_ = judged(alone, DECIDING, MARGIN)
    assert [(one.decides, one.verdict) for one in all_] == [
        (True, "undecided"),
        (True, "undecided"),
        (False, "undecided"),
    ]
    assert {(one.floor, one.difference_low, one.difference_high, one.p_above, one.p_beyond) for one in all_} == {
        (None,) * 5
    }
    assert all(one.informative for one in all_)
    assert (cited(all_).name, cited(all_).verdict) == ("mq_aware_0.1", "undecided")
    attack = judged([beside_floor("extraction", True, 0.1, Share.counted(9, 100), None)], ("extraction",), MARGIN)
    assert cited(attack).verdict == "undecided"


def test_what_decides_must_be_a_figure_that_there_is() -> None:
    assert resolve("tiny", settings=("evaluate.deciding=mq_0.2,extraction",)).evaluate.deciding == (
        "mq_0.2",
        "extraction",
    )
    with pytest.raises(
        Fatal, match=r"^evaluate.deciding: 'mq_aware_0.15' is not one of mq_0.1, .*second_nearest_aware"
    ):
        resolve("tiny", settings=("evaluate.deciding=mq_aware_0.15",))
    with pytest.raises(Fatal, match=r"^evaluate.deciding: 'mq_aware_0.1' is not one of mq_0.2"):
        resolve("tiny", settings=("evaluate.thresholds=[0.2]",))


def test_memorization_never_stands_without_quality_and_poor_quality_is_in_the_title() -> None:
    assert "Frechet distance (pixels) 2, where real images have 1" in said(FINE, FINE_SECOND).quality
    poor = said(FINE, FINE_SECOND, of=quality(poor=True))
    assert poor.title == "No echo above the floor, but poor images"
    assert "resembles nothing" in poor.quality


def test_a_smoke_run_says_so() -> None:
    assert smoke_reason(DIGITS, 32, 900) == "only 32 generated and 900 held-out images"
    assert smoke_reason(DIGITS, 512, 900) is None
    assert smoke_reason(TINY, 512, 900) == "preset tiny"
    assert smoke_reason(DIGITS, 32, 0) == "only 32 generated images"
    assert smoke_reason(DIGITS, 512, 0) is None
    assert said(FINE, FINE_SECOND, smoke="preset tiny").title == "Smoke run: no verdict"


def test_small_shares_keep_a_digit_that_says_something() -> None:
    assert [percent(x) for x in (0, 0.0002, 0.0123, 0.999, 1)] == ["0.0 %", "0.02 %", "1.2 %", "99.9 %", "100 %"]
    assert interval(Share.counted(0, 20)) == "0.0 to 16.1 %"

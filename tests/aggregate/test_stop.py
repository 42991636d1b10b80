"""Early stop: what the rules say of a round."""

import pytest

from unecho.components.aggregate.step import stop_reason, total
from unecho.components.config.fields import Stop
from unecho.components.run import Look, RoundFigures, WatchRecord


def figures(loss: float = 1.0, visits: int = 100, skips: int = 0, round: int = 1) -> RoundFigures:
    return RoundFigures(round=round, visits=visits, skips=skips, augmented=0, steps=1, loss=loss)


@pytest.mark.parametrize(
    ("rules", "now", "before", "stops"),
    [
        (Stop(), figures(), figures(), False),
        (Stop(loss_plateau=0.1), figures(0.95), figures(1.0), True),
        (Stop(loss_plateau=0.1), figures(0.9), figures(1.0), True),  # not below nine tenths
        (Stop(loss_plateau=0.1), figures(0.89), figures(1.0), False),
        (Stop(loss_plateau=0.1), figures(0.95, round=0), None, False),  # the first round has none before it
        (Stop(skip_rate_above=0.5), figures(skips=51), None, True),
        (Stop(skip_rate_above=0.5), figures(skips=50), None, False),
    ],
)
def test_rules(rules: Stop, now: RoundFigures, before: RoundFigures | None, stops: bool) -> None:
    reason = stop_reason(rules, now, before)
    assert (reason is not None) == stops
    if reason:
        assert reason.startswith("stop.")
        assert f"round {now.round}" in reason


def test_a_rounds_figures_are_sums_and_its_loss_the_mean_over_visits() -> None:
    whole = total(1, [figures(2.0, visits=30, skips=3), figures(1.0, visits=10, skips=1)])
    assert (whole.visits, whole.skips, whole.steps) == (40, 4, 2)
    assert whole.loss == pytest.approx((2.0 * 30 + 1.0 * 10) / 40)
    assert whole.skip_rate == 0.1


@pytest.mark.parametrize(("verdict", "stops"), [("above", True), ("unclear", False), ("at_or_below", False)])
def test_a_model_that_the_watch_saw_echo_ends_the_rounds_where_that_is_asked_for(verdict: str, stops: bool) -> None:
    metrics = {"mq_0.1": 0.25, "mq_0.1_floor": 0.01}
    look = Look.model_validate({"verdict": verdict, "speaks": "mq_0.1", "images": 256, "metrics": metrics})
    seen = WatchRecord(round=3, look=look)
    wanted = "stop.echo: model 3's mq_0.1 is 25.0% of 256 images, above its floor 1.0%" if stops else None
    assert stop_reason(Stop(echo=True), figures(), figures(), seen) == wanted
    assert stop_reason(Stop(), figures(), figures(), seen) is None
    assert stop_reason(Stop(echo=True), figures(), figures(), WatchRecord(round=3)) is None

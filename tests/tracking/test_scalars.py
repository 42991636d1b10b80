"""What trackers are told of a record, worked out by hand."""

from datetime import UTC, datetime

import pytest

from unecho.components.config import resolve
from unecho.components.run import (
    Assignment,
    Look,
    ModelRecord,
    Plan,
    ProxyRecord,
    RanWith,
    ReportRecord,
    RoundFigures,
    SelectionRecord,
    WatchRecord,
)
from unecho.components.tracking.scalars import Scalars, has_scalars, scalars_of

CONFIG = resolve("tiny")
RAN = RanWith(code="1", started="2026-01-02T03:04:05+00:00", seconds=9.0)
STARTED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC).timestamp()
FIGURES = RoundFigures(round=2, visits=200, skips=30, augmented=50, lost=4, steps=10, loss=0.25)
TRAINING = {"train/loss": 0.25, "train/skip_rate": 0.15, "train/augmented": 0.25}


def test_a_model_tells_loss_and_shares_of_the_visits_of_the_round_before_it() -> None:
    model = ModelRecord(round=3, figures=FIGURES, ran_with=RAN)
    assert scalars_of(model, CONFIG) == Scalars("rounds", 2, TRAINING, STARTED)


def test_what_an_average_of_adapters_left_out_is_told_where_there_is_one() -> None:
    found = scalars_of(ModelRecord(round=3, figures=FIGURES, average_error=0.01, ran_with=RAN), CONFIG)
    assert found is not None
    assert found.values == TRAINING | {"train/average_error": 0.01}


def test_a_proxy_tells_the_same_in_a_series_of_its_shard() -> None:
    proxy = ProxyRecord(round=2, shard=7, samples=50, global_step=30, figures=FIGURES, ran_with=RAN)
    assert scalars_of(proxy, CONFIG) == Scalars("shards/07", 2, TRAINING, STARTED)


def test_lost_visits_are_told_where_a_queue_may_lose_them() -> None:
    model = ModelRecord(round=3, figures=FIGURES, ran_with=RAN)
    queue = CONFIG.model_copy(update={"train": CONFIG.train.model_copy(update={"gate": "samples"})})
    found = scalars_of(model, queue)
    assert found is not None
    assert found.values == TRAINING | {"train/lost": 0.02}


def test_an_assignment_tells_what_moved_after_the_round_before_it() -> None:
    after = Assignment(round=3, shard_sizes=[5, 5], moved=4, ran_with=RAN)
    assert scalars_of(after, CONFIG) == Scalars("moved", 2, {"train/moved": 4}, STARTED)


def test_a_report_tells_its_metrics_at_the_rounds_that_its_model_had() -> None:
    report = ReportRecord(round=3, headline={"mq_aware_0.1": 0.5, "precision": 0.9}, ran_with=RAN)
    wanted = {"evaluate/mq_aware_0.1": 0.5, "evaluate/precision": 0.9}
    assert scalars_of(report, CONFIG) == Scalars("report", 3, wanted, STARTED)


@pytest.mark.parametrize("first", [ModelRecord(round=0), Assignment(round=0, shard_sizes=[5, 5])])
def test_before_the_first_round_there_is_nothing_to_tell(first: ModelRecord | Assignment) -> None:
    assert scalars_of(first, CONFIG) is None


def test_a_record_without_figures_is_passed_over() -> None:
    plan = Plan(revision=0, config=CONFIG)
    assert not has_scalars(plan)
    assert scalars_of(plan, CONFIG) is None


LOOK = Look(
    verdict="unclear", speaks="mq_aware_0.1", images=256, metrics={"mq_aware_0.1": 0.5, "mq_aware_0.1_floor": 0.1}
)
WATCHED = {"watch/mq_aware_0.1": 0.5, "watch/mq_aware_0.1_floor": 0.1}


def test_a_look_at_a_model_tells_its_figures_at_the_rounds_that_the_model_had() -> None:
    seen = WatchRecord(round=4, look=LOOK, ran_with=RAN)
    assert scalars_of(seen, CONFIG) == Scalars("watch", 4, WATCHED, STARTED)
    last = SelectionRecord(round=5, chosen=4, reason="", look=LOOK, ran_with=RAN)
    assert scalars_of(last, CONFIG) == Scalars("select", 5, WATCHED, STARTED)


def test_a_round_that_was_not_watched_tells_nothing() -> None:
    assert scalars_of(WatchRecord(round=3, ran_with=RAN), CONFIG) is None
    assert scalars_of(SelectionRecord(round=5, chosen=5, reason="last", ran_with=RAN), CONFIG) is None

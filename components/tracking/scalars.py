"""What a record says in figures, as trackers take them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import singledispatch

from ..config import RunConfig
from ..run import (
    Assignment,
    Look,
    ModelRecord,
    ProxyRecord,
    Record,
    ReportRecord,
    RoundFigures,
    Run,
    SelectionRecord,
    WatchRecord,
)
from ..run.address import record_at


@dataclass(frozen=True)
class Scalars:
    """Figures of one record.

    Attributes:
        series: what grows by one record a round, each written when the one before it stands: "rounds", "shards/03".
        step: the round, or how many rounds the model has had that is measured.
        values: by tag, such as "train/loss".
        time: of `started`.
    """

    series: str
    step: int
    values: Mapping[str, float]
    time: float


def has_scalars(record: Record) -> bool:
    """Whether records of this kind have figures."""
    return type(record) in _read.registry


def scalars_of(record: Record, config: RunConfig) -> Scalars | None:
    """The figures of a record; None where it has none. A function of the two alone."""
    series, step, values = _read(record, config)
    return Scalars(series, step, values, started(record)) if values else None


def started(record: Record) -> float:
    """When the record's step began, seconds since the epoch."""
    return datetime.fromisoformat(record.ran_with.started).timestamp() if record.ran_with else 0.0


def records_with_scalars(run: Run) -> Iterator[Record]:
    """All records of a run that may have figures."""
    kinds = [kind for kind in _read.registry if kind is not object]
    for place in (kind.address.partition("/")[0] for kind in kinds):
        for stat in run.store.list(f"{run.prefix}/{place}/"):
            if at := record_at(stat.key):
                yield run.load(at.kind, *at.index)


_Read = tuple[str, int, dict[str, float]]
"""Series, step and values."""


@singledispatch
def _read(record: Record, config: RunConfig) -> _Read:
    """A kind of record that has figures is registered below."""
    return "", 0, {}


@_read.register
def _(record: ModelRecord, config: RunConfig) -> _Read:
    values = _training(record.figures, config) if record.figures else {}
    if record.average_error is not None:
        values["train/average_error"] = record.average_error
    return "rounds", record.round - 1, values


@_read.register
def _(record: ProxyRecord, config: RunConfig) -> _Read:
    return f"shards/{record.shard:02d}", record.round, _training(record.figures, config)


@_read.register
def _(record: Assignment, config: RunConfig) -> _Read:
    return "moved", record.round - 1, {"train/moved": record.moved} if record.round else {}


@_read.register
def _(record: ReportRecord, config: RunConfig) -> _Read:
    return "report", record.round, {f"evaluate/{name}": value for name, value in record.headline.items()}


@_read.register
def _(record: WatchRecord, config: RunConfig) -> _Read:
    return "watch", record.round, _look(record.look)


@_read.register
def _(record: SelectionRecord, config: RunConfig) -> _Read:
    return "select", record.round, _look(record.look)  # not in the watch's: a run that grows watches this model too


def _look(look: Look | None) -> dict[str, float]:
    return {f"watch/{name}": value for name, value in look.metrics.items()} if look else {}


def _training(figures: RoundFigures, config: RunConfig) -> dict[str, float]:
    """Shares are of the visits."""
    visits = max(figures.visits, 1)
    values = {
        "train/loss": figures.loss,
        "train/skip_rate": figures.skip_rate,
        "train/augmented": figures.augmented / visits,
    }
    if config.train.gate == "samples":  # there is a queue that loses some
        values["train/lost"] = figures.lost / visits
    return values

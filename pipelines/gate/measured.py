"""The figures of quality of a report by the names that a policy calls them, each with what it rests on."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ...components.measures.intervals import Mean, Share
from ...components.measures.quality_figures import Quality
from ...components.report.figures import Figures
from ...components.report.wording import percent
from ..comparison import basis
from ..comparison.basis import Basis
from ..comparison.lines import against_training, features_of

_OF_THE_DATA: Final = ("data set", "held-out images")
"""What a figure in units of real images' own may differ in: theirs does so too."""


@dataclass(frozen=True)
class Measured:
    """A figure of quality.

    Attributes:
        interval: 95 %, where it is a share or a mean.
        real: the same of real images, its unit where models are compared; None where these have none.
        rests_on: what must be the same in a report that it is compared with.
    """

    value: float
    rests_on: Basis
    real: float | None = None
    interval: Share | Mean | None = None

    def text(self, value: float) -> str:
        """A value of this kind."""
        if isinstance(self.interval, Share):
            return percent(value)
        return f"{value:.3g}" if self.interval is None else f"{value:z.3f}"


def quality_of(figures: Figures) -> dict[str, Measured]:
    """All that the report has."""
    found = {name: one for number, q in enumerate(figures.qualities) for name, one in _on(figures, q, not number)}
    for features in features_of(figures):
        if against := against_training(figures, features):
            found[against.metric] = Measured(against.distance, basis.of_distance_to_training(figures, against))
    return found | dict(_alignment(figures)) | dict(_drift(figures))


def _on(figures: Figures, q: Quality, first: bool) -> Iterator[tuple[str, Measured]]:
    """On one kind of features; the first's precision and recall have the plain names too."""
    judge = _less_data(basis.of_kernel(figures, q))
    yield q.frechet_metric, Measured(q.frechet, judge, q.frechet_real)
    if q.frechet_all is not None:
        yield f"{q.frechet_metric}_all", Measured(q.frechet_all, basis.of_frechet_of_all(figures, q))
    if q.kernel is not None:
        yield q.kernel_metric, Measured(q.kernel, judge, q.kernel_real)
    manifolds = {**judge, "evaluate.precision_recall_neighbours": str(q.neighbours)}
    for name, share, real in (("precision", q.precision, q.precision_real), ("recall", q.recall, q.recall_real)):
        one = Measured(share.share, manifolds, real.share, share)
        yield f"{name}_{q.features}", one
        if first:
            yield name, one


def _alignment(figures: Figures) -> Iterator[tuple[str, Measured]]:
    if (found := figures.alignment) is None:
        return
    for number, (name, of) in enumerate(found.named()):
        rests_on, real = basis.of_alignment(figures, of), None if number else found.real
        if real:
            yield name, Measured(of.generated.mean, _less_data(rests_on), real.mean, of.generated)
        else:
            yield name, Measured(of.generated.mean, rests_on, interval=of.generated)


def _drift(figures: Figures) -> Iterator[tuple[str, Measured]]:
    for drift in figures.drift:
        rests_on = basis.of_drift(figures, drift)
        yield drift.metric, Measured(drift.pairs.mean, rests_on, interval=drift.pairs)
        yield f"{drift.metric}_frechet", Measured(drift.frechet, rests_on)


def _less_data(rests_on: Basis) -> Basis:
    return {name: value for name, value in rests_on.items() if name not in _OF_THE_DATA}

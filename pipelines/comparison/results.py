"""What the runs of a comparison found, and the same over seeds."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from pydantic import BaseModel, ConfigDict

from ...components.config.fields import frozen_difference
from ...components.failure import Fatal
from ...components.measures.captions import Captions
from ...components.measures.quality_figures import Quality
from ...components.measures.verdict import Measure, Memorization, Verdict, cited, rank
from ...components.report.figures import Figures, load_figures
from ...components.run import Plan, ProxyRecord
from ...components.run.state import state_of
from .arms import REFERENCE, Arm, Entry


@dataclass(frozen=True)
class Result:
    """A finished run.

    Attributes:
        train_s: seconds of all training steps of the model together.
        audited: of the run that trained the model, where this one is an audit of it.
    """

    entry: Entry
    figures: Figures
    train_s: float
    audited: "Result | None" = None

    @property
    def verdict(self) -> Verdict:
        """As the report says it."""
        return cited(self.figures.memorization).verdict

    @property
    def training(self) -> Figures:
        """Figures of the run that trained the model."""
        return self.audited.figures if self.audited else self.figures


class Spread(BaseModel):
    """A figure over seeds."""

    model_config = ConfigDict(frozen=True)

    mean: float
    sd: float | None
    """Standard deviation; None for one seed."""

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        return cls(mean=fmean(values), sd=stdev(values) if len(values) > 1 else None)


class Measured(BaseModel):
    """One measure of memorization over an arm's seeds."""

    model_config = ConfigDict(frozen=True)

    measure: Measure
    aware: bool
    threshold: float
    informative: bool
    """Its floor is at most 10 % in every run of the comparison."""
    generated: Spread
    floor: Spread | None
    """None without held-out images."""


class QualityOn(BaseModel):
    """Quality on one kind of features over an arm's seeds."""

    model_config = ConfigDict(frozen=True)

    features: str
    captions: Captions | None = None
    """That the images were asked for; None for a model without prompts, and where runs were asked for others."""
    frechet_name: str
    frechet: Spread
    frechet_real: Spread
    frechet_all: Spread
    """Of all generated images at once."""
    of_reference: Spread | None
    """`frechet` over that of the reference arm with the same seed; below 1 is better. None without one."""
    all_of_reference: Spread | None
    """`frechet_all` likewise."""
    precision: Spread
    precision_real: Spread
    recall: Spread
    recall_real: Spread


class AlignedOver(BaseModel):
    """How well images fit their prompts, over an arm's seeds."""

    model_config = ConfigDict(frozen=True)

    captions: Captions
    generated: Spread
    real: Spread | None
    """Held-out images with their own captions."""
    beyond_base: Spread | None
    """Of the run's own prompts: by how much its images fit better than the base model's."""


class Summary(BaseModel):
    """An arm over its seeds: shares from 0 to 1."""

    model_config = ConfigDict(frozen=True)

    arm: str
    seeds: list[int]
    verdicts: dict[Verdict, int]
    """How many of the runs end with which verdict."""
    memorization: list[Measured]
    quality: list[QualityOn]
    """Empty without held-out images."""
    alignment: AlignedOver | None = None
    """None where not every run has it, of the same prompts."""
    visits: Spread
    """Sample visits of training."""
    skipped: Spread
    """Share of the visits whose gradient was dropped."""
    lost: Spread
    """Share of the visits that were neither skipped nor trained."""
    augmented: Spread
    """Share of the visits with a threshold-aware augmentation."""
    train_s: Spread
    """Seconds of training, on one machine at a time."""
    time_of_reference: float | None
    """Mean of them over the reference arm's."""


def result_of(entry: Entry) -> Result | None:
    """The result of a run, or None where it is not finished.

    Raises:
        Fatal: it was started with another method, or a record or the report is altered.
    """
    run = entry.run
    if run.find(Plan, 0) is None:
        return None
    planned = run.config()
    if difference := frozen_difference(planned, entry.config):
        raise Fatal(f"{run.url}: {difference}: choose another --name, or the settings that it was started with")
    if planned.iet.rounds < entry.config.iet.rounds:
        return None  # more rounds are wanted than it had
    state = state_of(run)
    if state.report is None:
        return None
    proxies = (
        run.load(ProxyRecord, round, shard) for round in range(state.rounds) for shard in range(entry.config.iet.shards)
    )
    seconds = sum(proxy.ran_with.seconds for proxy in proxies if proxy.ran_with)
    return Result(entry, load_figures(run, state.report), seconds)


def summaries(arms: Sequence[Arm], results: Sequence[Result]) -> list[Summary]:
    """One an arm that has results, in the arms' order."""
    by_arm = {arm.name: [r for r in results if r.entry.arm.name == arm.name] for arm in arms}
    informative = _informative(results)
    reference = {r.entry.seed: r for r in by_arm.get(REFERENCE, [])}
    return [_summary(name, found, reference, informative) for name, found in by_arm.items() if found]


Key = tuple[str, bool, float]


def _key(figure: Memorization) -> Key:
    return figure.measure, figure.aware, figure.threshold


def _informative(results: Sequence[Result]) -> set[Key]:
    """Measures whose floor is at most 10 % in every run."""
    figures = [m for r in results for m in r.figures.memorization]
    return {_key(m) for m in figures} - {_key(m) for m in figures if not m.informative}


def _summary(name: str, found: Sequence[Result], reference: dict[int, Result], informative: set[Key]) -> Summary:
    figures, training = [r.figures for r in found], [r.training for r in found]
    verdicts: dict[Verdict, int] = {}
    for result in found:
        verdicts[result.verdict] = verdicts.get(result.verdict, 0) + 1
    paired = [(r, reference[r.entry.seed]) for r in found if r.entry.seed in reference]
    seconds = Spread.of([r.train_s for r in found])
    return Summary(
        arm=name,
        seeds=[r.entry.seed for r in found],
        verdicts=verdicts,
        memorization=[
            Measured(
                measure=first.measure,
                aware=first.aware,
                threshold=first.threshold,
                informative=_key(first) in informative,
                generated=Spread.of([m.generated.share for m in same]),
                floor=_floor(same),
            )
            for first, same in _grouped(figures)
        ],
        quality=[_quality(number, figures, paired) for number in range(len(figures[0].qualities))],
        alignment=_alignment(figures),
        visits=Spread.of([f.provenance.visits or 0 for f in training]),
        skipped=Spread.of([_dropped(r) for r in found]),
        lost=Spread.of([f.provenance.lost_share for f in training]),
        augmented=Spread.of([_augmented(f) for f in training]),
        train_s=seconds,
        time_of_reference=(
            sum(r.train_s for r, _ in paired) / total if (total := sum(ref.train_s for _, ref in paired)) else None
        ),
    )


def _grouped(figures: Sequence[Figures]) -> list[tuple[Memorization, list[Memorization]]]:
    ordered = sorted(figures[0].memorization, key=lambda m: (not m.aware, *rank(m)))
    return [(first, [m for f in figures for m in f.memorization if _key(m) == _key(first)]) for first in ordered]


def _floor(same: Sequence[Memorization]) -> Spread | None:
    floors = [m.floor.share for m in same if m.floor]
    return Spread.of(floors) if len(floors) == len(same) else None


def _quality(number: int, figures: Sequence[Figures], paired: Sequence[tuple[Result, Result]]) -> QualityOn:
    on = [f.qualities[number] for f in figures]
    beside = [(r.figures.qualities[number], ref.figures.qualities[number]) for r, ref in paired]
    ratios = [mine.frechet / its.frechet for mine, its in beside]
    ratios_all = [all_together(mine) / all_together(its) for mine, its in beside]
    return QualityOn(
        features=on[0].features,
        captions=on[0].captions if len({q.captions for q in on}) == 1 else None,
        frechet_name=on[0].frechet_name,
        frechet=Spread.of([q.frechet for q in on]),
        frechet_real=Spread.of([q.frechet_real for q in on]),
        frechet_all=Spread.of([all_together(q) for q in on]),
        of_reference=Spread.of(ratios) if ratios else None,
        all_of_reference=Spread.of(ratios_all) if ratios_all else None,
        precision=Spread.of([q.precision.share for q in on]),
        precision_real=Spread.of([q.precision_real.share for q in on]),
        recall=Spread.of([q.recall.share for q in on]),
        recall_real=Spread.of([q.recall_real.share for q in on]),
    )


def _alignment(figures: Sequence[Figures]) -> AlignedOver | None:
    found = [f.alignment for f in figures if f.alignment]
    if len(found) < len(figures) or len({of.sets[0].captions for of in found}) > 1:
        return None
    real = [of.real.mean for of in found if of.real]
    beyond = [one.beyond_base.mean for of in found for one in of.sets if one.beyond_base and one.captions != "general"]
    return AlignedOver(
        captions=found[0].sets[0].captions,
        generated=Spread.of([of.sets[0].generated.mean for of in found]),
        real=Spread.of(real) if len(real) == len(found) else None,
        beyond_base=Spread.of(beyond) if len(beyond) == len(found) else None,
    )


def all_together(quality: Quality) -> float:
    """The Frechet distance of all generated images; reports of before it was measured have that of a set at a time."""
    return quality.frechet if quality.frechet_all is None else quality.frechet_all


def _dropped(result: Result) -> float:
    """Without AGC nothing is dropped, whatever was counted."""
    return result.training.provenance.skipped_share or 0.0 if result.entry.config.agc.enabled else 0.0


def _augmented(figures: Figures) -> float:
    visits = sum(r.visits for r in figures.rounds)
    return sum(r.augmented for r in figures.rounds) / visits if visits else 0.0

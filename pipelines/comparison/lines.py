"""The same figure of several runs in one line, with what each rests on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from ...components.measures.captions import CAPTIONS
from ...components.measures.intervals import Mean, Share
from ...components.measures.quality_figures import AgainstTraining, Quality
from ...components.measures.verdict import Memorization, rank
from ...components.report.figures import Figures
from ...components.report.tables import SHORT_WORDS, short_distance, short_measure, with_bounds, with_deviation
from ...components.report.wording import cosine, percent
from . import basis
from .basis import Basis

NONE = "-"
T = TypeVar("T")
Key = tuple[bool, tuple[int, float]]


@dataclass(frozen=True)
class Line:
    """A figure of every run.

    Attributes:
        cells: as text, one a run; a dash where a run has none.
        bases: what each rests on; None for a dash.
    """

    name: str
    cells: Sequence[str]
    bases: Sequence[Basis | None]

    @property
    def unlike(self) -> list[str]:
        """What is not the same in all runs that have the figure: for want of it their figures do not compare."""
        known = [rests_on for rests_on in self.bases if rests_on is not None]
        names = dict.fromkeys(name for rests_on in known for name in rests_on)
        return [name for name in names if len({rests_on.get(name) for rests_on in known}) > 1]

    @property
    def marked(self) -> "Line":
        """Called not comparable where it is not."""
        return replace(self, name=f"{self.name}, not comparable") if self.unlike else self


Block = Sequence[Line]
"""A figure, and what belongs to it: its floor, its verdict, that of real images."""


def measures_of(runs: Sequence[Figures]) -> list[Key]:
    """All measures of memorization, the augmentation-aware ones first."""
    return sorted({_key(figure) for figures in runs for figure in figures.memorization})


def memorization_block(runs: Sequence[Figures], key: Key) -> tuple[Block, bool]:
    """A share with its floor and that of the base model, and its verdict where it decides; and whether it decides in
    some run.

    Reports of version 1 had no choice of what decides; beside a later one they have no say in that.
    """
    newest = max(figures.version for figures in runs)
    found = [next((m for m in figures.memorization if _key(m) == key), None) for figures in runs]
    there = [figure for figure in found if figure]
    decides = any(f is not None and f.decides for run, f in zip(runs, found, strict=True) if run.version == newest)
    block = [_line(short_measure(there[0]), runs, found, lambda m: _share(m.generated), basis.of_memorization)]
    if any(figure.floor for figure in there):
        block.append(_line("floor", runs, found, lambda m: _share(m.floor) if m.floor else None, basis.of_floor))
    if any(figure.base for figure in there):
        block.append(
            _line("base model", runs, found, lambda m: _share(m.base) if m.base else None, basis.of_memorization)
        )
    if decides:
        block.append(_line("verdict", runs, found, _word, basis.of_verdict))
    return block, decides


def features_of(figures: Figures) -> list[str]:
    """Kinds of features that there are figures on."""
    return [on.features for on in figures.qualities] + [on.features for on in figures.against_training]


def quality_blocks(runs: Sequence[Figures], features: str) -> list[Block]:
    """Distances, precision and recall beside those of real images; without held-out images the distance to the training
    set alone.

    Args:
        features: that all runs have.
    """
    found = [next((q for q in figures.qualities if q.features == features), None) for figures in runs]
    against = [against_training(figures, features) for figures in runs]
    frechet = _plain(next(a.name for a in against if a), features)
    kernel = next((_plain(q.kernel_name, features) for q in found if q and q.kernel_name), "kernel")

    def beside_real(
        name: str,
        generated: Callable[[Quality], str | None],
        real: Callable[[Quality], str | None],
        rests_on: Callable[[Figures, Quality], Basis],
    ) -> Block:
        return [_line(n, runs, found, of, rests_on) for n, of in ((name, generated), ("real images", real))]

    blocks: list[Block] = [
        beside_real(frechet, lambda q: f"{q.frechet:.3g}", lambda q: f"{q.frechet_real:.3g}", basis.of_frechet),
        [_line(f"{frechet}, all generated", runs, found, lambda q: _number(q.frechet_all), basis.of_frechet_of_all)],
        beside_real(
            kernel,
            lambda q: _spread(q.kernel, q.kernel_std),
            lambda q: _spread(q.kernel_real, q.kernel_real_std),
            basis.of_kernel,
        ),
        [
            _line(
                f"{frechet} to training set",
                runs,
                against,
                lambda a: f"{a.distance:.3g}",
                basis.of_distance_to_training,
            )
        ],
        beside_real(
            "precision, %", lambda q: _percent(q.precision), lambda q: _percent(q.precision_real), basis.of_manifolds
        ),
        beside_real("recall, %", lambda q: _percent(q.recall), lambda q: _percent(q.recall_real), basis.of_manifolds),
    ]
    return [block for block in blocks if any(rests_on is not None for rests_on in block[0].bases)]


def alignment_blocks(runs: Sequence[Figures]) -> list[Block]:
    """How well images of each kind of prompts fit them, beside the base model's and, the first, real images."""
    kinds = dict.fromkeys(of.captions for run in runs if run.alignment for of in run.alignment.sets)
    blocks: list[Block] = []
    for number, kind in enumerate(kinds):
        sets = [run.alignment.sets if run.alignment else [] for run in runs]
        found = [next((of for of in some if of.captions == kind), None) for some in sets]
        beside = [_line("base model", runs, found, lambda of: _mean(of.base), basis.of_alignment_of_base)]
        if not number:
            aligned = [run.alignment for run in runs]
            beside.append(_line("real images", runs, aligned, lambda of: _mean(of.real), basis.of_alignment_of_real))
        lines = [_line(CAPTIONS[kind], runs, found, lambda of: _mean(of.generated), basis.of_alignment), *beside]
        blocks.append([line for line in lines if any(rests_on is not None for rests_on in line.bases)])
    return blocks


def drift_blocks(runs: Sequence[Figures], features: str) -> list[Block]:
    """How far images of general prompts are from the base model's; none where no run has it."""
    found = [next((drift for drift in run.drift if drift.features == features), None) for run in runs]
    if not any(found):
        return []
    return [[_line(f"on {features}", runs, found, lambda drift: _mean(drift.pairs), basis.of_drift)]]


def _line(
    name: str,
    runs: Sequence[Figures],
    found: Sequence[T | None],
    text: Callable[[T], str | None],
    rests_on: Callable[[Figures, T], Basis],
) -> Line:
    cells = [None if one is None else text(one) for one in found]
    bases = [
        None if one is None or cell is None else rests_on(figures, one)
        for figures, one, cell in zip(runs, found, cells, strict=True)
    ]
    return Line(name, [cell or NONE for cell in cells], bases)


def _key(figure: Memorization) -> Key:
    return not figure.aware, rank(figure)


def against_training(figures: Figures, features: str) -> AgainstTraining | None:
    """The distance that papers publish. A report with a reference has it among its quality, an old one nowhere."""
    for on in figures.qualities:
        if on.features == features and on.frechet_training is not None:
            return AgainstTraining(
                features=features,
                digest=on.digest,
                name=on.frechet_name,
                distance=on.frechet_training,
                images=figures.provenance.generated_images,
            )
    return next((against for against in figures.against_training if against.features == features), None)


def _plain(distance: str, features: str) -> str:
    """Its name below a heading that names the features."""
    return short_distance(distance).removesuffix(f" ({features})")


def _word(figure: Memorization) -> str | None:
    return SHORT_WORDS[figure.verdict] if figure.decides and figure.floor else None


def _share(share: Share) -> str:
    return with_bounds(_percent(share), share).replace("100.0", "100")


def _mean(mean: Mean | None) -> str | None:
    return None if mean is None else with_bounds(cosine(mean), mean)


def _percent(share: Share) -> str:
    return percent(share.share).removesuffix(" %")


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:.3g}"


def _spread(mean: float | None, deviation: float | None) -> str | None:
    return None if mean is None else with_deviation(mean, deviation)

"""The tables of a comparison: memorization beside its floor, quality beside real images, cost; in 80 columns."""

from collections.abc import Sequence

from ...components.measures.captions import CAPTIONS
from ...components.measures.verdict import KINDS
from ...components.report.tables import Table, short_distance
from .arms import REFERENCE
from .results import Measured, Spread, Summary

FLOOR = "floor"
REAL = "real images"


def comparison_tables(summaries: Sequence[Summary]) -> list[Table]:
    """Memorization beside its floor, quality beside real images, cost."""
    aware = _memorization(
        summaries, True, "Memorization, augmentation-aware, in %; at floor: how many runs, ? some unclear"
    )
    plain = _memorization(summaries, False, "Memorization, plain, in %")
    return [aware, plain, *_quality(summaries), *_alignment(summaries), _cost(summaries)]


def spread(value: Spread) -> str:
    """Mean, to three digits, and standard deviation, to as many places."""
    mean = abs(value.mean)
    places = 0 if mean >= 99.95 else 1 if mean >= 9.995 else 2 if mean >= 0.9995 else 3
    text = f"{value.mean:,.{places}f}"
    return text if value.sd is None else f"{text} ±{value.sd:.{places}f}"


def shares(value: Spread) -> str:
    """The same of a share, in per cent."""
    text = "100" if value.mean == 1 else f"{100 * value.mean:.1f}"
    return text if value.sd is None else f"{text} ±{100 * value.sd:.1f}"


def measure(figure: Measured) -> str:
    """A column's head."""
    kind = KINDS[figure.measure]
    return kind.short + (
        f"{kind.sign}{kind.limit(figure.threshold, 2)}" if figure.measure in ("mq", "descriptor") else ""
    )


def verdicts(summary: Summary) -> str:
    """How many runs are at the floor, of all; with a question mark where some are unclear; a dash without a floor."""
    if "undecided" in summary.verdicts:
        return "-"
    runs = sum(summary.verdicts.values())
    return f"{summary.verdicts.get('at_or_below', 0)}/{runs}" + "?" * ("unclear" in summary.verdicts)


def shown_measures(summary: Summary, aware: bool = True) -> list[Measured]:
    """The measures that decide, the same ones for every arm of a comparison; of a descriptor's the first."""
    return [
        m
        for m in summary.memorization
        if m.aware is aware and m.informative and (m.measure == "descriptor" or not KINDS[m.measure].on_descriptor)
    ]


def _memorization(summaries: Sequence[Summary], aware: bool, title: str) -> Table:
    """The verdict belongs to the augmentation-aware measures."""
    shown = shown_measures(summaries[0], aware)

    def row(name: str, of: Sequence[Spread], says: str) -> list[str]:
        return [name, *(shares(value) for value in of), *([says] if aware else [])]

    rows = [row(s.arm, [m.generated for m in shown_measures(s, aware)], verdicts(s)) for s in summaries]
    floors = [m.floor for m in shown if m.floor]
    if floors:
        rows.append(row(FLOOR, floors, ""))
    return Table(title, ["", *(measure(m) for m in shown), *(["at floor"] if aware else [])], rows)


def _quality(summaries: Sequence[Summary]) -> list[Table]:
    found = []
    for number, first in enumerate(summaries[0].quality):
        on = [(s.arm, s.quality[number]) for s in summaries]
        rows = [
            [
                arm,
                spread(q.frechet),
                _of_reference(arm, q.of_reference),
                spread(q.frechet_all),
                _of_reference(arm, q.all_of_reference),
                f"{100 * q.precision.mean:.1f}",
                f"{100 * q.recall.mean:.1f}",
            ]
            for arm, q in on
        ]
        real = [spread(first.frechet_real), "-", "-", "-"]
        real += [f"{100 * first.precision_real.mean:.1f}", f"{100 * first.recall_real.mean:.1f}"]
        name = short_distance(first.frechet_name)
        on_what = f"Quality: {name} of as many as trained on, of all"
        if first.captions and {q.captions for _, q in on} == {first.captions}:
            on_what = f"Quality of images of {CAPTIONS[first.captions]}: {name}"
        found.append(
            Table(
                f"{on_what}; x: {REFERENCE}'s; %",
                ["", "Frechet", "x", "all", "x", "precision", "recall"],
                [*rows, [REAL, *real]],
            )
        )
    return found


def _alignment(summaries: Sequence[Summary]) -> list[Table]:
    """None where not every arm has it, of the same prompts."""
    on = [(s.arm, s.alignment) for s in summaries if s.alignment]
    if len(on) < len(summaries) or len({a.captions for _, a in on}) > 1:
        return []
    rows = [[arm, spread(a.generated), spread(a.beyond_base) if a.beyond_base else "-"] for arm, a in on]
    if real := on[0][1].real:
        rows.append([REAL, spread(real), "-"])
    title = f"Text alignment of images of {CAPTIONS[on[0][1].captions]}; over base: of own prompts"
    return [Table(title, ["", "alignment", "over base"], rows)]


def _of_reference(arm: str, ratio: Spread | None) -> str:
    return "-" if ratio is None or arm == REFERENCE else f"{ratio.mean:.2f}"


def _cost(summaries: Sequence[Summary]) -> Table:
    queued = any(s.lost.mean for s in summaries)
    rows = [
        [
            s.arm,
            f"{s.visits.mean:,.0f}",
            shares(s.skipped),
            *([shares(s.lost)] if queued else []),
            shares(s.augmented),
            spread(s.train_s),
            f"{s.time_of_reference:.2f}" if s.time_of_reference is not None else "-",
        ]
        for s in summaries
    ]
    return Table(
        f"Cost: sample visits, % of them skipped{', lost' if queued else ''} and augmented, training; x: {REFERENCE}'s",
        ["", "visits", "skipped", *(["lost"] if queued else []), "augmented", "seconds", "x"],
        rows,
    )

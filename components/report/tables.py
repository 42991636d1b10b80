"""The final table: memorization beside its floor beside quality."""

from dataclasses import dataclass
from typing import Final

from unecho.components.measures.verdict import Memorization, rank
from unecho.components.report.figures import Figures
from unecho.components.report.wording import percent


@dataclass(frozen=True)
class Row:
    """A line of the table, in text that fits 80 columns.

    Attributes:
        measure: what is measured.
        generated: of generated images; a share with its 95 % interval in brackets.
        real: the same of held-out real images (memorization's floor), or of training images (quality).
        says: what follows.
    """

    measure: str
    generated: str
    real: str
    says: str


HEADER = Row("", "generated", "real images", "")
SHORT: Final = {"mq": "MQ", "second_nearest": "near/2nd", "extraction": "extracted"}
"""Measures of memorization where there is little room."""
_SAYS = {"above": "echo", "at_or_below": "at floor", "unclear": "unclear", "undecided": "-"}


def table(figures: Figures) -> list[Row]:
    """All rows: augmentation-aware memorization, plain memorization, quality."""
    ordered = sorted(figures.memorization, key=lambda m: (not m.aware, *rank(m)))
    rows = [_memorization(figure) for figure in ordered]
    for quality in figures.qualities:
        name = quality.frechet_name.replace("Frechet distance", "Frechet")
        rows += [
            Row(name, f"{quality.frechet:.3g}", f"{quality.frechet_real:.3g}", "less is better"),
            Row("precision", percent(quality.precision.share), percent(quality.precision_real.share), "more is better"),
            Row("recall", percent(quality.recall.share), percent(quality.recall_real.share), "more is better"),
        ]
    return rows


def plain_lines(figures: Figures) -> list[str]:
    """The table and the headline as lines of at most 80 characters, for terminals and logs without colours."""
    rows = [HEADER, *table(figures)]
    widths = [max(len(getattr(row, field)) for row in rows) for field in ("measure", "generated", "real")]
    return [
        f"{row.measure:<{widths[0]}}  {row.generated:>{widths[1]}}  {row.real:>{widths[2]}}  {row.says}".rstrip()
        for row in rows
    ]


def _memorization(figure: Memorization) -> Row:
    name = SHORT[figure.measure]
    kind = "aware" if figure.aware else "plain"
    return Row(
        f"{name} < {figure.threshold:.2g} {kind}",
        f"{percent(figure.generated.share)} {_bounds(figure.generated.low, figure.generated.high)}",
        f"{percent(figure.floor.share)} {_bounds(figure.floor.low, figure.floor.high)}",
        _SAYS[figure.verdict],
    )


def _bounds(low: float, high: float) -> str:
    return f"[{100 * low:.1f}, {100 * high:.1f}]"

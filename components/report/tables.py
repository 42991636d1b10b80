"""Tables: the figures of a report as rows, and any table as aligned text or as Markdown."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from ..measures.alignment_figures import Alignment, Drift
from ..measures.captions import CAPTIONS
from ..measures.descriptor_figures import DescriptorFigures, Similarities
from ..measures.intervals import Mean, Share
from ..measures.verdict import KINDS, Memorization, Verdict, rank
from .figures import Figures
from .wording import WORDS, cosine, images_of, percent, short_name

SHORT_WORDS: Final[dict[Verdict, str]] = {
    "above": "echo",
    "at_or_below": "at floor",
    "unclear": "unclear",
    "undecided": "-",
}
_LESS_BY_COPIES: Final = "copies make it less"


@dataclass(frozen=True)
class Table:
    """A header and rows of as many cells.

    Attributes:
        left: columns that are aligned to the left.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    left: Sequence[int] = (0,)


def aligned(table: Table) -> list[str]:
    """Header and rows as lines of text."""
    every = [table.header, *table.rows]
    widths = [max(len(row[column]) for row in every) for column in range(len(table.header))]
    return ["  ".join(_padded(table, row, widths)).rstrip() for row in every]


def markdown(table: Table) -> list[str]:
    """Header and rows as lines of Markdown."""
    rule = ["---" if column in table.left else "---:" for column in range(len(table.header))]
    return [_markdown_row(table.header), f"| {' | '.join(rule)} |", *(_markdown_row(row) for row in table.rows)]


@dataclass(frozen=True)
class Row:
    """A figure beside what real images have: memorization's floor, or the quality of training images.

    Attributes:
        name: what is measured; `short`: where there is little room.
        generated, real: values as text, with their 95 % intervals where they are shares or means of images; `real` is
            empty where real images have no such value, or there are none.
        real_apart: the floor without held-out images that have a near duplicate in the training set.
        base: a share of the base model's images on the same prompts, with its interval in `base_share`.
        verdict: of a measure of memorization; `note` says of the others which way is better.
    """

    name: str
    short: str
    generated: str
    real: str
    generated_share: Share | Mean | None = None
    real_share: Share | Mean | None = None
    real_apart: Share | None = None
    base: str = ""
    base_share: Share | Mean | None = None
    verdict: Verdict | None = None
    note: str = ""


@dataclass(frozen=True)
class Group:
    """Rows under one heading."""

    title: str
    rows: Sequence[Row]


def figure_groups(figures: Figures) -> list[Group]:
    """All rows of a report, in the order that decides: copies, then quality."""
    return [*copy_groups(figures), *quality_groups(figures)]


def copy_groups(figures: Figures) -> list[Group]:
    """Memorization beside its floors: on the descriptor, augmentation-aware and plain."""
    ordered = sorted(figures.memorization, key=rank)
    on_descriptor, on_pixels = ([f for f in ordered if f.on_descriptor is kind] for kind in (True, False))
    groups = [
        Group(
            "Near-copies, augmentation-aware: a mirrored or shifted copy counts",
            [_memorization(figure) for figure in on_pixels if figure.aware],
        ),
        Group("Near-copies, plain", [_memorization(figure) for figure in on_pixels if not figure.aware]),
    ]
    if figures.descriptor:
        title = f"Copies on the descriptor {figures.descriptor.file}: a mirrored copy counts"
        groups.insert(0, Group(title, [_memorization(figure) for figure in on_descriptor]))
    return groups


def quality_groups(figures: Figures) -> list[Group]:
    """Quality on each kind of features, text alignment and drift."""
    groups = []
    for q in figures.qualities:
        rows = [
            Row(
                q.frechet_name,
                short_distance(q.frechet_name),
                f"{q.frechet:.3g}",
                f"{q.frechet_real:.3g}",
                note="less is better",
            )
        ]
        if q.sets > 1 and q.frechet_all is not None:
            rows.append(
                Row("the same, all generated", "", f"{q.frechet_all:.3g}", "", note=f"{q.images * q.sets:,} images")
            )
        if q.kernel is not None and q.kernel_real is not None:
            rows.append(
                Row(
                    q.kernel_name,
                    short_distance(q.kernel_name),
                    with_deviation(q.kernel, q.kernel_std),
                    with_deviation(q.kernel_real, q.kernel_real_std),
                    note="less is better",
                )
            )
        if q.frechet_training is not None:
            note = f"{_LESS_BY_COPIES}{_own_images(figures) if q.captions else ''}"
            rows.append(Row(q.frechet_training_name, "", f"{q.frechet_training:.3g}", "", note=note))
        for name, share, real in (
            ("precision", q.precision, q.precision_real),
            ("recall", q.recall, q.recall_real),
        ):
            rows.append(Row(name, name, percent(share.share), percent(real.share), note="more is better"))
        on = f": {images_of(q)}" if q.captions else ""
        groups.append(Group(f"Quality, on {q.features}{on}", rows))
    for against in figures.against_training:
        distance = Row(
            against.label,
            f"{short_distance(against.name)} to training set",
            f"{against.distance:.3g}",
            "",
            note=_LESS_BY_COPIES,
        )
        groups.append(Group(f"In place of quality, on {against.features}", [distance]))
    if figures.alignment:
        groups.append(Group(f"Text alignment, by {figures.alignment.model}", list(_alignment(figures.alignment))))
    for drift in figures.drift:
        groups.append(Group(f"Drift from the base model on general prompts, on {drift.features}", list(_drift(drift))))
    return groups


def similarity_rows(descriptor: DescriptorFigures | None) -> list[tuple[str, Similarities]]:
    """Similarities on the descriptor, as far as there are any: whose, and what they are."""
    if descriptor is None:
        return []
    rows = [
        ("generated", descriptor.generated),
        ("real (the floor)", descriptor.held_out),
        ("base model", descriptor.base),
        ("to the prompt's own image", descriptor.own),
        ("the same, base model", descriptor.own_base),
    ]
    return [(name, found) for name, found in rows if found]


def similarity_table(descriptor: DescriptorFigures) -> Table:
    """The same as text."""
    return Table(
        "",
        ["similarity", "median", "95th percentile", f"above {descriptor.threshold:g}"],
        [
            [
                name,
                f"{found.median:.3f}",
                f"{found.high:.3f} [{found.high_low:.3f}, {found.high_high:.3f}]",
                with_bounds(percent(found.above.share), found.above),
            ]
            for name, found in similarity_rows(descriptor)
        ],
    )


def figure_table(figures: Figures) -> Table:
    """The same in text that fits 80 columns; rows without a short name are left out, and the column of real images
    where there are none.
    """
    rows = [row for group in figure_groups(figures) for row in group.rows if row.short]
    words = SHORT_WORDS if figures.has_floor else dict.fromkeys(SHORT_WORDS, "not judged")
    cells = [
        [
            row.short,
            with_bounds(row.generated, row.generated_share),
            *([with_bounds(row.real, row.real_share)] if figures.has_floor else []),
            row.note if row.verdict is None else words[row.verdict],
        ]
        for row in rows
    ]
    header = ["", "generated", *(["real images"] if figures.has_floor else []), ""]
    return Table("", header, cells, left=(0, len(header) - 1))


def beside_table(figures: Figures) -> Table | None:
    """Near-copies among images of the base model on the same prompts, with intervals in 80 columns; None without such.

    Reconstructions of training images, the copies of a perfect copier, stand in a column of their own where there are
    such: what is found of them, and what would be where training images alone are searched.
    """
    shown = [figure for figure in sorted(figures.memorization, key=rank) if figure.base or figure.ceiling]
    columns = [
        ("base model", [_bounded(figure.base) for figure in shown]),
        ("of perfect copies", [_bounded(figure.ceiling) for figure in shown]),
        ("originals", [percent(c.share) if (c := figure.ceiling_pixels) else "" for figure in shown]),
    ]
    columns = [(name, cells) for name, cells in columns if any(cells)]
    if not columns:
        return None
    rows = [[short_measure(figure), *cells] for figure, *cells in zip(shown, *(c for _, c in columns), strict=True)]
    return Table("Beside other images", ["", *(name for name, _ in columns)], rows)


def _bounded(share: Share | None) -> str:
    return "" if share is None else with_bounds(percent(share.share), share)


def watch_table(figures: Figures) -> Table:
    """Every look at a model while rounds were trained; models are numbered by the rounds that they have had."""
    name = watched_figure(figures)
    quality = figures.quality
    metric = quality.frechet_metric if quality else ""
    return Table(
        "All looks",
        ["model", "near-copies", "floor", "verdict", *([short_distance(quality.frechet_name)] if quality else [])],
        [
            [
                f"{look.model}{' (released)' * (look.model == figures.provenance.released)}",
                percent(look.metrics[name]),
                percent(look.metrics[f"{name}_floor"]) if f"{name}_floor" in look.metrics else "none",
                WORDS[look.verdict],
                *([f"{look.metrics[metric]:.3g}" if metric in look.metrics else ""] if quality else []),
            ]
            for look in figures.watched
        ],
        left=(3,),
    )


def watched_figure(figures: Figures) -> str:
    """The figure by which looks are shown beside each other, by its name among the metrics: the first that decides."""
    return min((f for f in figures.memorization if f.decides), key=rank).name


def round_table(figures: Figures) -> Table:
    """Every round of training, counted from 0 as its steps are."""
    return Table(
        "All rounds",
        ["round", "loss", "skipped", "augmented", "moved before"],
        [
            [str(r.round), f"{r.loss:.4g}", percent(r.skip_rate), percent(r.augmented_share), f"{r.moved:,}"]
            for r in figures.rounds
        ],
        left=(),
    )


def _alignment(alignment: Alignment) -> Iterable[Row]:
    """Real images stand beside the first set."""
    real = alignment.real
    for number, of in enumerate(alignment.sets):
        first, base = not number, of.base
        yield Row(
            f"images of {CAPTIONS[of.captions]}",
            "alignment" if first else f"alignment, {of.captions}",
            cosine(of.generated),
            cosine(real) if first and real else "",
            of.generated,
            real if first else None,
            base=cosine(base) if base else "",
            base_share=base,
            note=f"base {cosine(base)}" if base else "more is better",
        )
        if more := of.beyond_base:
            yield Row(
                "more than the base model's",
                "",
                cosine(more, sign=True),
                "",
                more,
                note="of the same prompts",
            )
    if zero := alignment.unrelated:
        yield Row("real images, another's caption", "", "", cosine(zero), real_share=zero, note="no fit: the zero")


def _drift(drift: Drift) -> Iterable[Row]:
    name, pairs = "distance to the base model's image", drift.pairs
    yield Row(name, "drift from the base", cosine(pairs), "", pairs, note="0 none, 1 all")
    yield Row(f"{drift.frechet_name} to its images", "", f"{drift.frechet:.3g}", "", note="0: none")


def _own_images(figures: Figures) -> str:
    return f"; the run's own {figures.provenance.generated_images:,} images"


def _memorization(figure: Memorization) -> Row:
    return Row(
        name=short_name(figure),
        short=short_measure(figure),
        generated=percent(figure.generated.share),
        real=percent(figure.floor.share) if figure.floor else "",
        generated_share=figure.generated,
        real_share=figure.floor,
        real_apart=figure.floor_apart,
        base=percent(figure.base.share) if figure.base else "",
        base_share=figure.base,
        verdict=figure.verdict,
    )


def short_measure(figure: Memorization) -> str:
    """The measure where there is little room."""
    kind = KINDS[figure.measure]
    limit = f"{kind.short} {kind.sign} {kind.limit(figure.threshold, 2)}" if kind.sign else kind.short
    if kind.on_descriptor:
        return f"{limit} descr" if figure.measure == "descriptor_second" else limit
    return f"{limit} {'aware' if figure.aware else 'plain'}"


def short_distance(name: str) -> str:
    """A distance's name where there is little room."""
    return name.replace(" distance", "")


def with_deviation(mean: float, deviation: float | None) -> str:
    """A mean and its standard deviation, where there is one."""
    return f"{mean:.3g}" if deviation is None else f"{mean:.3g} ± {deviation:.2g}"


def with_bounds(text: str, of: Share | Mean | None) -> str:
    """A share as text, and its 95 % interval in per cent, or a mean and how far its interval reaches; nothing where it
    is neither.
    """
    if isinstance(of, Mean):
        return f"{text} ± {of.high - of.mean:.3f}"
    return text if of is None else f"{text} [{100 * of.low:.1f}, {100 * of.high:.1f}]"


def _padded(table: Table, row: Sequence[str], widths: Sequence[int]) -> Iterable[str]:
    for column, (cell, width) in enumerate(zip(row, widths, strict=True)):
        yield cell.ljust(width) if column in table.left else cell.rjust(width)


def _markdown_row(cells: Sequence[str]) -> str:
    """`<` and `|` mean something in Markdown."""
    return f"| {' | '.join(cell.replace('|', chr(92) + '|').replace('<', '&lt;') for cell in cells)} |"

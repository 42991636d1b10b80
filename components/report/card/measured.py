"""What a card says of the figures: each with its interval, beside real images and beside the base model."""

from ...measures.verdict import cited, rank
from ..figures import Figures
from ..prompt_tables import counted, told_apart
from ..tables import Group, Row, Table, copy_groups, markdown, quality_groups, similarity_table, with_bounds
from ..wording import WORDS, asked_for, ceiling_sentence, measure_name, percent, sampled_by
from .wording import bullets


def measured(figures: Figures) -> list[str]:
    """On which images, tables of all figures, and how they are read."""
    lines = [_conditions(figures)]
    for group in (*copy_groups(figures), *quality_groups(figures)):
        lines += ["", f"### {group.title}", "", *markdown(_table(group, figures.has_floor))]
    if figures.descriptor:
        lines += ["", "### Similarities on the descriptor", "", *markdown(similarity_table(figures.descriptor))]
    if figures.prompts:
        lines += ["", "### Prompts", "", *_prompts(figures)]
    return [*lines, "", "### How to read this", "", *bullets(_notes(figures))]


def _conditions(figures: Figures) -> str:
    """How the images were made."""
    asked = asked_for(figures.config)
    made = [f"{figures.provenance.generated_images:,} generated images", f"sampler: {sampled_by(figures.config)}"]
    return "; ".join([*made, *([f"asked for: {asked}"] if asked else [])]) + "."


def _table(group: Group, floor: bool) -> Table:
    """A group's figures; real images have a column where there are such, and so has the base model.

    Args:
        floor: whether there are held-out images.
    """
    base = any(row.base for row in group.rows)
    header = ["", "generated", *["real images"] * floor, *["base model"] * base, "meaning"]
    rows = [
        [
            row.name,
            with_bounds(row.generated, row.generated_share),
            *[_real(row)] * floor,
            *[with_bounds(row.base, row.base_share)] * base,
            _meaning(row, floor),
        ]
        for row in group.rows
    ]
    return Table(group.title, header, rows, left=(0, len(header) - 1))


def _real(row: Row) -> str:
    real = with_bounds(row.real, row.real_share)
    return f"{real}; {percent(row.real_apart.share)} without near duplicates" if row.real_apart else real


def _meaning(row: Row, floor: bool) -> str:
    if row.verdict is None:
        return row.note
    return WORDS[row.verdict] if floor else "not judged"


def _prompts(figures: Figures) -> list[str]:
    """What prompts give away, with no text of one."""
    found = figures.prompts
    assert found is not None
    if found.unmeasured:
        return [f"Not measured: {found.unmeasured}."]
    return [f"{told_apart(found).title}; of {counted(found)}.", "", *markdown(told_apart(found))]


def _notes(figures: Figures) -> list[str]:
    notes = [
        "In brackets: the 95 % interval, of a share in per cent; after ±: how far that of a mean reaches, or the "
        "standard deviation of a kernel distance over its subsets."
    ]
    if figures.has_floor:
        deciding = " and ".join(measure_name(f) for f in sorted(figures.memorization, key=rank) if f.decides)
        through = ", as the model's VAE gives them back" if any(f.ceiling for f in figures.memorization) else ""
        notes += [
            f"Real images: of near-copies {figures.floor_images:,} that were never trained on{through}. "
            "Theirs is the floor, what chance brings. In quality they are training images, judged by the held-out ones "
            "as the generated ones are.",
            f"What decides, chosen before the run: {deciding}. Other near-copies are shown and not judged.",
        ]
    if base := next((f.base for f in figures.memorization if f.base), None):
        notes += [
            f"Base model: the same of {base.of:,} images that the pretrained model makes of the same prompts and "
            "noise. What it makes too was not learned here. It decides nothing."
        ]
    if ceiling := ceiling_sentence(cited(figures.memorization)):
        notes += [ceiling]
    if attack := figures.attack:
        notes += [
            "Extraction: training images that somebody finds who sees generated images alone. In so many images a "
            f"model that draws them from its training set would give away {percent(attack.power)} of it."
        ]
    return notes + [f"{name}: SHA-256 `{digest}`." for name, digest in figures.feature_files]

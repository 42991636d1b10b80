"""What a comparison leaves behind: tables, plots, a page."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup
from pydantic import BaseModel

from ...components.failure import Fatal
from ...components.report.tables import Table, markdown
from .arms import Arm
from .grids import grids, real_grid
from .page import page
from .plot import Point, scatter
from .results import Result, Summary, all_together, summaries
from .tables import comparison_tables, measure, shown_measures


class Comparison(BaseModel):
    """compare.json."""

    version: int = 1
    command: str
    missing: list[str]
    """Runs that are not finished."""
    again: dict[str, Any] | None = None
    """Fields by which all runs were sampled and measured again; null where the figures are those of their reports."""
    arms: list[Summary]
    runs: list[dict[str, object]]
    """Every run's address, arm, seed and metrics; `audited`: the run that an audit is of."""


def write(
    folder: Path,
    title: str,
    command: str,
    arms: Sequence[Arm],
    results: Sequence[Result],
    missing: Sequence[str],
    notes: Sequence[str],
    again: dict[str, Any] | None = None,
) -> list[Table]:
    """Write compare.json, compare.md, compare.html and a plot a kind of features.

    Args:
        results: at least one.
        notes: what a reader must know before believing the tables.
        again: fields by which runs were audited, the results being audits; None where they are runs.

    Returns:
        The tables.

    Raises:
        Fatal: the folder cannot be written to.
    """
    over_seeds = summaries(arms, results)
    tables = comparison_tables(over_seeds)
    drawn = plots(over_seeds, results)
    whole = Comparison(
        command=command,
        missing=list(missing),
        again=again,
        arms=over_seeds,
        runs=[
            {
                "run": r.entry.run.url,
                **({"audited": r.audited.entry.run.url} if r.audited else {}),
                "arm": r.entry.arm.name,
                "seed": r.entry.seed,
                "verdict": r.verdict,
                "train_s": r.train_s,
                **r.figures.metrics(),
            }
            for r in results
        ],
    )
    pictures = grids(results)
    if pictures and results[0].figures.has_floor:
        pictures.append(real_grid(results[0]))
    headed = [(_heading(features), plot) for features, plot in drawn]
    files = {
        "compare.json": whole.model_dump_json(indent=1),
        "compare.md": "\n".join([f"# {title}", "", f"`{command}`", "", *_noted(notes), *_markdown(tables)]),
        "compare.html": page(title, command, results, len(missing), tables, headed, pictures, notes),
        **{f"compare-{features}.svg": str(plot) for features, plot in drawn},
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text)
    except OSError as error:
        raise Fatal(f"--out: {folder}: {error.strerror}") from None
    return tables


def plots(over_seeds: Sequence[Summary], results: Sequence[Result]) -> list[tuple[str, Markup]]:
    """A plot a kind of features: the widest informative MQ, against the Frechet distance of all generated images."""
    informative = [m for m in shown_measures(over_seeds[0]) if m.measure == "mq"]
    if not informative:
        return []
    widest = max(informative, key=lambda m: m.threshold)
    if widest.floor is None:
        return []
    drawn = []
    for number, quality in enumerate(over_seeds[0].quality):
        points = [
            Point(r.entry.arm.name, near.generated.share, all_together(r.figures.qualities[number]))
            for r in results
            for near in r.figures.memorization
            if (near.measure, near.aware, near.threshold) == (widest.measure, True, widest.threshold)
        ]
        plot = scatter(
            points,
            widest.floor.mean,
            quality.frechet_real.mean,
            f"memorization: {measure(widest)}, augmentation-aware",
            f"{quality.frechet_name}, all generated images",
        )
        drawn.append((quality.features, plot))
    return drawn


def _noted(notes: Sequence[str]) -> list[str]:
    return [line for note in notes for line in (f"> {note}", "")]


def _markdown(tables: Sequence[Table]) -> list[str]:
    return [line for table in tables for line in (f"**{table.title}**", "", *markdown(table), "")]


def _heading(features: str) -> str:
    return f"Quality on {'a classifier' if features == 'onnx' else features}"

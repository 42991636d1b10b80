"""Reports with the counts that a test asks for, made of a kept one."""

from typing import Any

from tests.report.kept import kept
from unecho.components.measures.intervals import Share
from unecho.components.measures.verdict import beside_floor, judged
from unecho.components.report.figures import Figures
from unecho.components.report.wording import headline


def reported(
    near: int = 0, of: int = 2048, floor: int = 2, floor_of: int = 500, smoke: str | None = None, **quality: Any
) -> Figures:
    """A report on `of` images, of which each measure takes `near` for copies.

    Args:
        quality: fields of the quality on pixels that are another's.
    """
    figures = kept(2)
    found = [
        beside_floor(
            figure.measure,
            figure.aware,
            figure.threshold,
            Share.counted(near, of),
            Share.counted(floor, floor_of),
            figure.guesses,
        )
        for figure in figures.memorization
    ]
    memorization = judged(found, figures.config["evaluate"]["deciding"], 0.02)
    fields: dict[str, Any] = {
        "frechet": 2.0,
        "frechet_real": 1.0,
        "precision": Share.counted(90, 100),
        "recall": Share.counted(80, 100),
        "poor": False,
    }
    assert figures.quality is not None
    on_pixels = figures.quality.model_copy(update=fields | quality)
    return figures.model_copy(
        update={
            "headline": headline(memorization, on_pixels, 0.02, smoke),
            "memorization": memorization,
            "quality": on_pixels,
        }
    )


def with_data(figures: Figures, digest: str) -> Figures:
    """The same of another data set."""
    return figures.model_copy(update={"provenance": figures.provenance.model_copy(update={"dataset": digest})})

"""Reports of earlier versions as they were written, and audits without a floor made of them."""

from pathlib import Path
from typing import Any, Literal

from unecho.components.config import resolve
from unecho.components.measures.quality_figures import AgainstTraining
from unecho.components.measures.verdict import beside_floor, judged
from unecho.components.report.figures import Figures
from unecho.components.report.wording import headline
from unecho.components.run import ModelRecord, Plan, ReportRecord, Run

SUBJECT = "model s3://models/mine"


def kept(version: Literal[1, 2]) -> Figures:
    """A report of the tiny preset, written by the program when its reports were of this version."""
    return Figures.model_validate_json((Path(__file__).parent / f"version-{version}.json").read_text())


def without_floor(figures: Figures, *deciding: str, distance: float = 1.25) -> Figures:
    """What the report on the same images says in an audit of a given model where nobody held images out.

    Args:
        deciding: names of figures; those of `evaluate.deciding` where there is none.
    """
    chosen = deciding or figures.config["evaluate"]["deciding"]
    alone = [
        beside_floor(figure.measure, figure.aware, figure.threshold, figure.generated, None, figure.guesses)
        for figure in figures.memorization
    ]
    memorization = judged(alone, chosen, 0.02)
    against = [
        AgainstTraining(features=q.features, name=q.frechet_name, distance=distance, images=32)
        for q in figures.qualities
    ]
    nothing_trained = dict.fromkeys(("planned_visits", "visits", "skipped_share", "steps"))
    changed: dict[str, Any] = {
        "headline": headline(memorization, None, 0.02, None, against),
        "memorization": memorization,
        "quality": None,
        "further_quality": [],
        "against_training": against,
        "histograms": [h.model_copy(update={"floor": None}) for h in figures.histograms],
        "held_out_near_copies": None,
        "rounds": [],
        "provenance": figures.provenance.model_copy(
            update={"subject": SUBJECT, "held_out_images": 0, "rounds": 0, **nothing_trained}
        ),
        "config": figures.config | {"audit": {"model": "s3://models/mine"}},
    }
    return figures.model_copy(update=changed)


def finished(root: Path | str, name: str, figures: Figures, *settings: str) -> Run:
    """A run that has ended in this report; it releases a model unless it is an audit."""
    run = Run.at(str(root), name)
    figures = figures.model_copy(update={"provenance": figures.provenance.model_copy(update={"run": name})})
    run.commit(Plan(revision=0, config=resolve("tiny", settings=settings)), 0)
    last = figures.provenance.rounds or run.config().iet.rounds
    run.commit(ModelRecord(round=last), last)
    files = {"report.json": figures.model_dump_json().encode(), "report.html": b"<p>own", "shared.html": b"<p>shared"}
    if figures.provenance.subject is None:
        files |= {
            f"model/{part}": part.encode() for part in ("model_index.json", "unet/diffusion_pytorch_model.safetensors")
        }
    objects = {part: run.put(ReportRecord, (last,), part, data) for part, data in files.items()}
    run.commit(ReportRecord(round=last, headline=figures.metrics(), objects=objects), last)
    return run


def report_of(run: Run) -> ReportRecord:
    """Its report."""
    return run.load(ReportRecord, run.last_model(run.config()).round)

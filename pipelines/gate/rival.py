"""The model that a report is compared with: what is released now, or any other run."""

from dataclasses import dataclass

from ...components.report.figures import Figures, load_figures
from ...components.run import Run
from ...components.run.released import ReleasedModel
from ...components.store import fetch, parsed
from ..finished import finished_report


@dataclass(frozen=True)
class Rival:
    """Whom a report is compared with.

    Attributes:
        model: address of the name that it is released under; `number`: in that name's history, 0 where nothing is.
        run: address of its run; None, as the figures are, where nothing is released yet.
    """

    model: str | None = None
    number: int | None = None
    run: str | None = None
    report_sha256: str | None = None
    figures: Figures | None = None


def of_run(run: Run) -> Rival:
    """A finished run or audit.

    Raises:
        Fatal: it has not ended, or its report cannot be read.
    """
    report = finished_report(run, "the gate")
    return Rival(run=run.url, report_sha256=report.objects["report.json"].sha256, figures=load_figures(run, report))


def released_as(model: ReleasedModel) -> Rival:
    """What a name stands for now. Its record names the report, which stays for as long as it does, whatever becomes of
    the run.

    Raises:
        Fatal: the record or the report cannot be read; names it.
    """
    now = model.current()
    if now is None:
        return Rival(model.url, 0)
    report = now.objects["report.json"]
    figures = parsed(model.store, report.key, fetch(model.store, report), Figures)
    return Rival(model.url, now.number, Run(model.store, now.run).url, report.sha256, figures)

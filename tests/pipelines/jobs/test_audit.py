"""Which steps of an audit are Jobs; no cluster is needed to say so."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from tests.given import save_ddpm, write_digits
from tests.runs import finish, tiny
from unecho.components.run import ReportRecord, Run
from unecho.components.run.audited import audit_config
from unecho.components.steps import run_step
from unecho.components.store import open_store
from unecho.pipelines.display import Display
from unecho.pipelines.jobs.engine import Jobs
from unecho.pipelines.jobs.job_spec import StepJob
from unecho.pipelines.loop import audit


class Recorded(Jobs):
    """Does here what pods would do, and remembers it."""

    jobs: list[tuple[str, int]]

    def _run_all(self, works: Sequence[StepJob]) -> None:
        for work in works:
            self.jobs.append((work.step, work.size))
            for index in range(work.size):
                run_step(work.step, self._run, work.round, index if work.step == "sample" else None)


@pytest.mark.parametrize(
    ("kind", "jobs"),
    [
        ("model", [("prepare", 1), ("sample", 2), ("evaluate", 1)]),
        ("images", [("prepare", 1), ("evaluate", 1)]),
        ("run", [("sample", 2), ("evaluate", 1)]),
    ],
)
def test_what_moves_records_only_is_no_job_and_given_images_are_not_sampled(
    kind: str, jobs: list[tuple[str, int]], tmp_path: Path
) -> None:
    settings: tuple[str, ...] = ("evaluate.neighbours=10", "sample.count=8", "sample.batch_size=4", "sample.parts=2")
    subject, data = str(tmp_path / "subject"), "digits"
    if kind == "run":
        finish(Run.at(str(tmp_path), "trained"), tiny("iet.rounds=1"))
        subject, data, settings = f"{tmp_path}/runs/trained", "", ()
    elif kind == "model":
        save_ddpm(tmp_path / "subject")
    else:
        write_digits(tmp_path / "subject", range(8))
    config = audit_config(open_store(str(tmp_path)), subject, data, settings=settings)
    run = Run.at(str(tmp_path), "a")
    with Display(Console(quiet=True)) as display:
        engine = Recorded(run, config, display, SimpleNamespace(inside=True))  # type: ignore[arg-type]
        engine.jobs = []
        audit(engine)
    assert engine.jobs == jobs
    assert run.find(ReportRecord, 0) is not None

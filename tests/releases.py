"""Records of a released model, made by hand, and jobs that release, each in a process of its own.

Such a process imports this file, and no network library by it.
"""

import os
import signal
import sys
from contextlib import redirect_stderr
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

from unecho.components.run import ReportRecord, Run
from unecho.components.run.released import Release, ReleasedModel
from unecho.components.store import open_store
from unecho.components.store.base import Buffer
from unecho.pipelines.commands import main


def given(run: Run, number: int = 1, **fields: Any) -> Release:
    """A record of the model "dogs", whose objects are in the store; of a run that is nothing else."""
    page = run.put(ReportRecord, (3,), "report.json", f"report of {run.name}".encode())
    index = run.put(ReportRecord, (3,), "model_index.json", f"model of {run.name}".encode())
    fields = {"kind": "promote", "by": "ann", "attempt": f"{number:08x}", "replaces": number - 1 or None} | fields
    return Release(
        model="dogs",
        number=number,
        at="2026-11-26T12:00:00+00:00",
        code="1",
        run=run.name,
        report=3,
        round=3,
        folder=index.key.rpartition("/")[0],
        dataset="d" * 64,
        config="c" * 64,
        verdict="at_or_below",
        headline={"mq_aware_0.1": 0.01},
        objects={"report.json": page, "model/model_index.json": index},
        **fields,
    )


def history(run_names: str, root: str) -> ReleasedModel:
    """The model "dogs": a promotion for each run, by their one-letter names."""
    for number, name in enumerate(run_names, 1):
        run = Run.at(root, name)
        ReleasedModel(run.store, "dogs").append(given(run, number))
    return ReleasedModel(Run.at(root, "a").store, "dogs")


def promote_together(root: str, name: str, start: Barrier, told: str, environment: dict[str, str]) -> None:
    """A CI job, which has seen what is released now and waits for the other one before it commits."""
    os.environ.update(environment)
    append = ReleasedModel.append

    def together(model: ReleasedModel, release: Release) -> Release:
        start.wait(300)
        return append(model, release)

    ReleasedModel.append = together  # type: ignore[method-assign]
    with open(told, "w") as file, redirect_stderr(file):
        status = main(["promote", f"{root}/runs/{name}", "--model", "dogs", "--by", f"job of {name}"])
    sys.exit(status)


def be_killed(root: str, work: str, environment: dict[str, str]) -> None:
    """Promote run b, or roll back, in a process that is killed between the record and released.json."""
    os.environ.update(environment)
    kind = type(open_store(root))
    put = kind.put

    def strike(store: object, key: str, data: Buffer | Path) -> None:
        if key.endswith("/released.json"):
            os.kill(os.getpid(), signal.SIGKILL)
        put(store, key, data)  # type: ignore[arg-type]

    kind.put = strike  # type: ignore[method-assign, assignment]
    promotion = ["promote", f"{root}/runs/b", "--model", "dogs"]
    main(promotion if work == "promote" else ["rollback", "dogs", "--root", root])

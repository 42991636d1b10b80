"""Retrainings whose training takes no time: plan and prepare are real, the report is made up."""

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console

from tests.pipelines.gate.reports import reported, with_data
from unecho.components.config import RunConfig
from unecho.components.report.figures import Figures
from unecho.components.run import DatasetRecord, ModelRecord, ReportRecord, Run
from unecho.components.steps import plan, run_step
from unecho.pipelines.loop import Engine, Map, Single

SETTINGS = ("data.near_duplicate=0", "data.resolution=8", "data.train_limit=null", "data.held_out_limit=null")
"""Beside the preset tiny, so that a folder of few images is packed at once."""


def draw(folder: Path, count: int, seed: int = 0) -> None:
    """Images of noise, the first ones the same whatever the count."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        pixels = np.random.default_rng([seed, number]).integers(0, 256, (8, 8), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:03}.png")


class Reporting:
    """An engine that trains nothing: `evaluate` commits a report, and the files of a model.

    Attributes:
        trained: runs that went beyond their data set, in order.
    """

    trained: list[str]

    def __init__(self, run: Run, config: RunConfig, figures: Figures, trained: list[str]) -> None:
        self._run, self._config, self._figures, self.trained = run, config, figures, trained

    def step(self, name: str, round: int | None = None) -> None:
        if name == "plan":
            plan(self._run, self._config)
        elif name == "prepare":
            run_step("prepare", self._run)
        elif name == "evaluate":
            self._report()

    def map(self, name: str, round: int | None = None, *, over: str) -> None:
        pass

    def beside(self, *works: Single | Map) -> None:
        pass

    def repeat(self, body: Callable[[Engine, int], None], over: str) -> None:
        pass

    def _report(self) -> None:
        run, last = self._run, self._config.iet.rounds
        if run.find(ReportRecord, last):
            return
        self.trained.append(run.name)
        figures = with_data(self._figures, run.load(DatasetRecord).digest)
        files = {"report.json": figures.model_dump_json().encode(), "report.html": f"<p>{run.name}".encode()}
        files |= {
            f"model/{name}": f"{name} of {run.name}".encode() for name in ("model_index.json", "unet.safetensors")
        }
        objects = {name: run.put(ReportRecord, (last,), name, data) for name, data in files.items()}
        run.commit(ModelRecord(round=0), 0)
        run.commit(ModelRecord(round=last), last)
        run.commit(ReportRecord(round=last, headline=figures.metrics(), objects=objects), last)


class Trainer:
    """In place of `run_to_the_end`.

    Attributes:
        figures: of the next report; trained: runs that were trained, in order.
    """

    def __init__(self) -> None:
        self.figures, self.trained = reported(), list[str]()

    def __call__(
        self, loop: Callable[[Engine], None], arguments: Namespace, run: Run, config: RunConfig, console: Console
    ) -> None:
        loop(Reporting(run, config, self.figures, self.trained))

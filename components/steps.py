"""The steps by name: what each is a function of, and the record that says it is done."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Final, cast

from components.failure import Fatal
from components.progress import Progress, Silent
from components.run import (
    Assignment,
    BeginRecord,
    DatasetRecord,
    ModelRecord,
    Plan,
    ProxyRecord,
    Record,
    ReportRecord,
    Run,
    SamplesRecord,
)

Function = Callable[[Run, int | None, int | None, Progress], Record]


@dataclass(frozen=True)
class Step:
    """A step of a run.

    Attributes:
        name: also the name of its folder and of its command.
        record: what it commits.
        by_round, by_index: what it is addressed by, beside the run.
        says: one line for help.
    """

    name: str
    record: type[Record]
    says: str
    by_round: bool = False
    by_index: bool = False

    def function(self) -> Function:
        """`step(run, round, index, progress)`, imported now: a pod loads only what its step needs."""
        return cast(Function, import_module(f"components.{self.name}.step").step)


STEPS: Final[dict[str, Step]] = {
    step.name: step
    for step in (
        Step("plan", Plan, "freeze the configuration of the run"),
        Step("prepare", DatasetRecord, "pack the images into a data set, once"),
        Step("initialize", ModelRecord, "make model 0"),
        Step("shard", Assignment, "make assignment 0"),
        Step("begin", BeginRecord, "decide whether a round starts; retire old weights", by_round=True),
        Step("train", ProxyRecord, "train one proxy on its shard", by_round=True, by_index=True),
        Step("aggregate", ModelRecord, "average the proxies of a round", by_round=True),
        Step("redistribute", Assignment, "move often-skipped samples to other shards", by_round=True),
        Step("sample", SamplesRecord, "generate a part of the images", by_index=True),
        Step("evaluate", ReportRecord, "measure memorization and quality, write the report"),
    )
}


def run_step(
    name: str, run: Run, round: int | None = None, index: int | None = None, progress: Progress | None = None
) -> Record:
    """Run one step at its address; one that is done already returns its record.

    `plan` needs a configuration and is called by itself, see `components.plan.step`.

    Raises:
        Fatal: the address is not that of the step, or what the step says.
    """
    step = STEPS[name]
    for field, value, wanted in (("--round", round, step.by_round), ("--index", index, step.by_index)):
        if (value is not None) != wanted:
            raise Fatal(f"step {name}: {field} is {'missing' if wanted else 'not its to take'}")
        if value is not None and value < 0:
            raise Fatal(f"step {name}: {field} is {value}: counted from 0")
    return step.function()(run, round, index, progress or Silent())

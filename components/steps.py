"""The steps by name: what each is a function of, and the record that says it is done."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Final, cast

from unecho.components.config import RunConfig
from unecho.components.failure import Fatal
from unecho.components.progress import Progress, Silent
from unecho.components.run import (
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
At = Callable[[int, int, int], tuple[int, ...]]
"""From the step's round and index, and the last model's round, to the address of its record."""


@dataclass(frozen=True)
class Step:
    """A step of a run.

    Attributes:
        name: also the name of its folder and of its command.
        record: what it commits; at: where.
        by_round, by_index: what it is addressed by, beside the run.
        on_device: whether it computes on an accelerator where there is one.
        says: one line for help.
    """

    name: str
    record: type[Record]
    at: At
    says: str
    by_round: bool = False
    by_index: bool = False
    on_device: bool = False

    def function(self) -> Function:
        """`step(run, round, index, progress)`, imported now: a pod loads only what its step needs."""
        return cast(Function, import_module(f"unecho.components.{self.name}.step").step)


STEPS: Final[dict[str, Step]] = {
    step.name: step
    for step in (
        Step("plan", Plan, lambda r, k, last: (0,), "freeze the configuration of the run"),
        Step("prepare", DatasetRecord, lambda r, k, last: (), "pack the images into a data set, once"),
        Step("initialize", ModelRecord, lambda r, k, last: (0,), "make model 0"),
        Step("shard", Assignment, lambda r, k, last: (0,), "make assignment 0"),
        Step("begin", BeginRecord, lambda r, k, last: (r,), "decide whether a round starts; retire old weights", True),
        Step("train", ProxyRecord, lambda r, k, last: (r, k), "train one proxy on its shard", True, True, True),
        Step("aggregate", ModelRecord, lambda r, k, last: (r + 1,), "average the proxies of a round", True),
        Step(
            "redistribute",
            Assignment,
            lambda r, k, last: (r + 1,),
            "move often-skipped samples to other shards",
            by_round=True,
        ),
        Step("sample", SamplesRecord, lambda r, k, last: (last, k), "generate a part of the images", False, True, True),
        Step(
            "evaluate",
            ReportRecord,
            lambda r, k, last: (last,),
            "measure memorization and quality, write the report",
        ),
    )
}


def committed(
    name: str, run: Run, config: RunConfig, round: int | None = None, index: int | None = None
) -> Record | None:
    """The record that says that a step is done, or None; `plan` may be done and yet have another revision to write.

    Raises:
        Fatal: the record cannot be read, or the rounds before `sample` and `evaluate` are not complete.
    """
    step = STEPS[name]
    last = run.last_model(config).round if step.record in (SamplesRecord, ReportRecord) else 0
    return run.find(step.record, *step.at(round or 0, index or 0, last))


def run_step(
    name: str, run: Run, round: int | None = None, index: int | None = None, progress: Progress | None = None
) -> Record:
    """Run one step at its address; one that is done already returns its record.

    `plan` needs a configuration and is called by itself, see `unecho.components.plan.step`.

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

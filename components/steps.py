"""The steps by name: a function each, imported when it is called, and the record that says it is done.

A pod loads only what its own step needs, so each function here imports the step's room in its body, and a step that is
done is found before: to start a run again costs a few requests a step, and no torch.
"""

from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Final

from .config import RunConfig
from .failure import Fatal, memory_by_field
from .progress import Progress, Silent
from .run import (
    Assignment,
    BeginRecord,
    DatasetRecord,
    EncodingRecord,
    ModelRecord,
    PackRecord,
    Plan,
    ProxyRecord,
    Record,
    ReportRecord,
    Run,
    SamplesRecord,
    SelectionRecord,
    WatchRecord,
)
from .run.checkpoints import batches_prefix, checkpoints_prefix
from .run.failures import forget_failures
from .run.looks import is_due
from .tracking import track


def plan(run: Run, config: RunConfig, progress: Progress | None = None) -> Plan:
    """Freeze the configuration of the run."""
    from .plan import step

    planned, listener = step.plan(run, config), progress or Silent()
    forget_failures(run)  # it is started again
    for note in step.notes_on_requests(run, planned):
        listener.note(note)
    track(run, planned, listener)
    return planned


def pack(run: Run, index: int, progress: Progress) -> PackRecord:
    """Pack a share of the images, before prepare."""
    from .pack import step

    return step.pack(run, index, progress)


def prepare(run: Run, progress: Progress) -> DatasetRecord:
    """Pack the images into a data set, once."""
    from .prepare import step

    return step.prepare(run, progress)


def encode(run: Run, index: int, progress: Progress) -> EncodingRecord:
    """Encode a part of the images and captions (text-to-image)."""
    from .encode import step

    return step.encode(run, index, progress)


def initialize(run: Run, progress: Progress) -> ModelRecord:
    """Make model 0."""
    from .initialize import step

    return step.initialize(run, progress)


def shard(run: Run, progress: Progress) -> Assignment:
    """Make assignment 0."""
    from .shard import step

    return step.shard(run, progress)


def begin(run: Run, round: int, progress: Progress) -> BeginRecord:
    """Decide whether a round starts; retire old weights."""
    from .begin import step

    return step.begin(run, round, progress)


def watch(run: Run, round: int, progress: Progress) -> WatchRecord:
    """Look at a few images of a round's model."""
    from .watch import step

    return step.watch(run, round, progress)


def train(run: Run, round: int, index: int, progress: Progress) -> ProxyRecord:
    """Train one proxy on its shard."""
    from .train import step

    return step.train(run, round, index, progress)


def aggregate(run: Run, round: int, progress: Progress) -> ModelRecord:
    """Average the proxies of a round."""
    from .aggregate import step

    return step.aggregate(run, round, progress)


def redistribute(run: Run, round: int, progress: Progress) -> Assignment:
    """Move often-skipped samples to other shards."""
    from .redistribute import step

    return step.redistribute(run, round, progress)


def select(run: Run, progress: Progress) -> SelectionRecord:
    """Choose the model that is released."""
    from .select import step

    return step.select(run, progress)


def sample(run: Run, index: int, progress: Progress) -> SamplesRecord:
    """Generate a part of the images."""
    from .sample import step

    return step.sample(run, index, progress)


def evaluate(run: Run, progress: Progress) -> ReportRecord:
    """Measure memorization and quality, write the report."""
    from .evaluate import step

    return step.evaluate(run, progress)


@dataclass(frozen=True)
class Step:
    """What engines need to know of a step.

    Attributes:
        function: of this module; its parameters say what the step is addressed by.
        record: what it commits.
        record_index: from the round r, the index k and one number more to the index of its record. The number is a
            model's round, the last model's for `select` and `evaluate`, the released one's for `sample`; for `pack` how
            many shares there are.
        on_device: whether it computes on an accelerator where there is one.
        light: from the run, its configuration and the round (0 without one) whether it moves a few records only, so
            that a pod of its own would cost more than it does.
        memory_field: the field of the configuration to lower where memory does not suffice.
        measures: whether a processor would do as well, where it is a device's memory that does not suffice.
    """

    function: Callable[..., Record]
    record: type[Record]
    record_index: Callable[[int, int, int], tuple[int, ...]]
    on_device: bool = False
    memory_field: str | None = None
    measures: bool = False
    light: Callable[[Run, RunConfig, int], bool] = lambda run, config, r: False

    @property
    def name(self) -> str:
        """Also the name of its folder and of its command."""
        return self.function.__name__

    @property
    def summary(self) -> str:
        """One line for help."""
        line = (self.function.__doc__ or "").strip().rstrip(".")
        return line[:1].lower() + line[1:]

    @property
    def by_round(self) -> bool:
        """Whether its address has a round."""
        return "round" in self.function.__annotations__

    @property
    def by_index(self) -> bool:
        """Whether its address has an index, of a shard or a part."""
        return "index" in self.function.__annotations__


STEPS: Final[dict[str, Step]] = {
    step.name: step
    for step in (
        Step(plan, Plan, lambda r, k, last: (0,), light=lambda run, config, r: True),
        Step(pack, PackRecord, lambda r, k, shares: (shares, k)),
        Step(prepare, DatasetRecord, lambda r, k, last: (), light=lambda run, config, r: config.audit.run is not None),
        Step(encode, EncodingRecord, lambda r, k, last: (k,), on_device=True, memory_field="encode.batch_size"),
        Step(initialize, ModelRecord, lambda r, k, last: (0,), light=lambda run, config, r: config.is_audit),
        Step(shard, Assignment, lambda r, k, last: (0,)),
        Step(begin, BeginRecord, lambda r, k, last: (r,), light=lambda run, config, r: True),
        Step(
            watch,
            WatchRecord,
            lambda r, k, last: (r,),
            on_device=True,
            memory_field="sample.batch_size",
            light=lambda run, config, r: not is_due(run, config, r),
        ),
        Step(train, ProxyRecord, lambda r, k, last: (r, k), on_device=True, memory_field="train.batch_size"),
        Step(aggregate, ModelRecord, lambda r, k, last: (r + 1,)),
        Step(redistribute, Assignment, lambda r, k, last: (r + 1,)),
        Step(
            select,
            SelectionRecord,
            lambda r, k, last: (last,),
            on_device=True,
            memory_field="sample.batch_size",
            light=lambda run, config, r: config.releases_last,
        ),
        Step(sample, SamplesRecord, lambda r, k, last: (last, k), on_device=True, memory_field="sample.batch_size"),
        Step(
            evaluate,
            ReportRecord,
            lambda r, k, last: (last,),
            on_device=True,
            memory_field="sample.count",
            measures=True,
        ),
    )
}


def run_step(
    name: str, run: Run, round: int | None = None, index: int | None = None, progress: Progress | None = None
) -> Record:
    """Run one step at its address; one that is done already returns its record.

    `plan` needs a configuration and is called by itself.

    Raises:
        Fatal: the address is not that of the step, or what the step says.
    """
    step = STEPS[name]
    _check_address(step, round, index)
    if found := done(name, run, round, index):
        return found

    def work() -> Record:
        with memory_by_field(
            step.memory_field, lambda: attrgetter(step.memory_field or "")(run.config()), step.measures
        ):
            return _run_step(name, run, round or 0, index or 0, progress or Silent())

    def tracked(record: Record) -> Record:
        track(run, record, progress or Silent())
        return record

    try:
        return tracked(work())
    except Fatal:
        if name in _NOT_BY_RECORD or committed(name, run, None, round, index) is None:
            raise
    return tracked(work())  # another process was first, and what the step read has gone since: it finds that one's


_NOT_BY_RECORD: Final = ("plan", "begin")
"""A plan may have another revision to write, and `begin` ends a removal that was begun: a record alone ends neither."""


def done(name: str, run: Run, round: int | None, index: int | None) -> Record | None:
    """The record of a step of which nothing is left to do, found without its room."""
    if name in _NOT_BY_RECORD:
        return None
    found = committed(name, run, None, round, index)
    left = ""
    if name == "train":
        left = checkpoints_prefix(run, round or 0, index or 0)
    elif isinstance(found, SamplesRecord):
        left = batches_prefix(run, found.round, found.part)
    if found and left and any(run.store.list(left)):
        return None  # killed between its commit and the removal of its checkpoints
    return found


def _run_step(name: str, run: Run, r: int, k: int, progress: Progress) -> Record:
    match name:
        case "pack":
            return pack(run, k, progress)
        case "prepare":
            return prepare(run, progress)
        case "encode":
            return encode(run, k, progress)
        case "initialize":
            return initialize(run, progress)
        case "shard":
            return shard(run, progress)
        case "begin":
            return begin(run, r, progress)
        case "watch":
            return watch(run, r, progress)
        case "train":
            return train(run, r, k, progress)
        case "aggregate":
            return aggregate(run, r, progress)
        case "redistribute":
            return redistribute(run, r, progress)
        case "select":
            return select(run, progress)
        case "sample":
            return sample(run, k, progress)
        case "evaluate":
            return evaluate(run, progress)
    raise Fatal(f"step {name}: needs a configuration")


def committed(
    name: str, run: Run, config: RunConfig | None, round: int | None = None, index: int | None = None
) -> Record | None:
    """The record that says that a step is done, or None; `plan` may be done and yet have another revision to write.

    Args:
        config: the run's; None where it is to be read, which only `pack`, `select` and what comes after need.

    Raises:
        Fatal: the record cannot be read, or the rounds before `select` and what comes after are not complete.
    """
    step, number = STEPS[name], 0
    if step.record in (SelectionRecord, ReportRecord):
        number = run.last_model(config or run.config()).round
    elif step.record is SamplesRecord:
        number = run.released_model(config or run.config()).round
    elif step.record is PackRecord:
        number = (config or run.config()).execution.prepare_parts
    return run.find(step.record, *step.record_index(round or 0, index or 0, number))


def _check_address(step: Step, round: int | None, index: int | None) -> None:
    for field, value, wanted in (("--round", round, step.by_round), ("--index", index, step.by_index)):
        if (value is not None) != wanted:
            raise Fatal(f"step {step.name}: {field} is {'missing' if wanted else 'not its to take'}")
        if value is not None and value < 0:
            raise Fatal(f"step {step.name}: {field} is {value}: counted from 0")

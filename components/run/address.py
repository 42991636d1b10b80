"""Where everything of a run is: ROOT/runs/NAME, the records below it, and what a key below a root is."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self, TypeVar

from ..config import RunConfig
from ..data import Dataset
from ..failure import Fatal
from ..store import ObjectRef, Store, find_parsed, open_store, put_object
from ..store.base import Buffer
from .records import (
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
    SamplesRecord,
    SelectionRecord,
    WatchRecord,
)

R = TypeVar("R", bound=Record)
NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,46}[a-z0-9])?")
"""The name of a run, and of a released model."""


def check_name(name: str, of: str = "run") -> None:
    """Whether a run, or a released model, may be called so.

    Raises:
        Fatal: it may not.
    """
    if not NAME.fullmatch(name):
        raise Fatal(f"{of} name: '{name}': use at most 48 lower-case letters, digits and inner dashes")


@dataclass(frozen=True)
class Run:
    """A run in a store.

    Attributes:
        store: the store at ROOT; data sets are shared by the runs of a root.
        name: lower-case letters, digits and dashes, so that it can name Kubernetes objects.
    """

    store: Store
    name: str

    def __post_init__(self) -> None:
        check_name(self.name)

    @classmethod
    def at(cls, root: str, name: str) -> Self:
        """The run `name` below a root (a directory, file:///directory or s3://bucket/prefix)."""
        return cls(open_store(root), name)

    @classmethod
    def parse(cls, address: str) -> Self:
        """The run at ROOT/runs/NAME.

        Raises:
            Fatal: the address is not of that form.
        """
        root, mark, name = address.rstrip("/").rpartition("/runs/")
        if not mark and address.startswith("runs/"):
            root, name = ".", address.rstrip("/").removeprefix("runs/")
        if not root or not name:
            raise Fatal(f"run: '{address}' is not of the form ROOT/runs/NAME")
        if "://" in root and root.endswith("/"):
            raise Fatal(f"run: '{address}': an empty part (//) before runs/: no run is kept there")
        return cls.at(root, name)

    def owns(self, key: str) -> bool:
        """Whether a key is of an object that a record of this run may name, below the run's own prefix."""
        return is_object(key) and run_of(key) == self.name and {"", ".", ".."}.isdisjoint(key.split("/"))

    @property
    def url(self) -> str:
        """The run's address, as `--run` takes it."""
        return f"{self.store.url}/{self.prefix}"

    @property
    def prefix(self) -> str:
        """Key prefix of all that is the run's own, without a slash at the end."""
        return f"runs/{self.name}"

    def key(self, kind: type[Record], *index: int) -> str:
        """Key of a record."""
        return f"{self.prefix}/{kind.address.format(*index)}"

    def find(self, kind: type[R], *index: int) -> R | None:
        """A committed record, or None.

        Raises:
            Fatal: it is there but cannot be read; names it.
        """
        return find_parsed(self.store, self.key(kind, *index), kind)

    def load(self, kind: type[R], *index: int) -> R:
        """A committed record that must be there.

        Raises:
            Fatal: it is not; names it and the step that makes it.
        """
        record = self.find(kind, *index)
        if record is None:
            step = kind.made_first_by if kind.made_first_by and not any(index) else kind.made_by
            raise Fatal(f"{self.store.address(self.key(kind, *index))}: missing: step {step} has not made it")
        return record

    def put(self, kind: type[Record], index: tuple[int, ...], name: str, data: Buffer) -> ObjectRef:
        """Write an object of a record that is not committed yet."""
        return put_object(self.store, self.key(kind, *index).removesuffix(".json"), name, data)

    def commit(self, record: R, *index: int) -> R:
        """Commit a record, the last write of a step.

        Returns:
            The record that stands at the address: another's, where another was first.
        """
        key = self.key(type(record), *index)
        if self.store.create(key, record.model_dump_json(indent=1).encode()):
            return record
        return self.load(type(record), *index)

    def plan(self) -> Plan:
        """The plan's newest revision."""
        plan = self.load(Plan, 0)
        while later := self.find(Plan, plan.revision + 1):
            plan = later
        return plan.model_copy(update={"root": self.store.url})

    def config(self) -> RunConfig:
        """The configuration of the plan's newest revision."""
        return self.plan().config

    def dataset(self, config: RunConfig, digest: str | None = None) -> Dataset:
        """The packed data set that the run trains on, its rows behind the cache that the configuration asks for.

        Args:
            digest: of another one.

        Raises:
            Fatal: a record, manifest or index is missing or altered; names it.
        """
        digest, directory = digest or self.load(DatasetRecord).digest, config.execution.cache_dir
        if directory is None or not self.store.distant:
            return Dataset.open(self.store, digest)
        cache_bytes = int(config.execution.cache_gib * 2**30)
        return Dataset.open(self.store, digest, Path(directory).expanduser(), cache_bytes)

    def released_model(self, config: RunConfig) -> ModelRecord:
        """The model that is sampled, evaluated and released: the last one, or the one that step `select` chose.

        Raises:
            Fatal: the rounds are not complete, or nothing was chosen yet.
        """
        last = self.last_model(config)
        if config.releases_last:
            return last
        return self.load(ModelRecord, self.load(SelectionRecord, last.round).chosen)

    def find_released(self, config: RunConfig, last: int) -> int | None:
        """Rounds of that model, the rounds having ended with model `last`; None where nothing was chosen yet."""
        if config.releases_last:
            return last
        selection = self.find(SelectionRecord, last)
        return selection.chosen if selection else None

    def last_model(self, config: RunConfig) -> ModelRecord:
        """The model that the rounds have ended with: of the last round, or where a rule stopped.

        Raises:
            Fatal: the rounds are not complete.
        """
        for round in range(config.rounds, -1, -1):
            model = self.find(ModelRecord, round)
            if model is None:
                continue
            if model.stop is None and round < config.rounds:
                break
            return model
        return self.load(ModelRecord, config.rounds)


KINDS: Final[tuple[type[Record], ...]] = (
    Plan,
    PackRecord,
    DatasetRecord,
    EncodingRecord,
    Assignment,
    BeginRecord,
    ModelRecord,
    ProxyRecord,
    WatchRecord,
    SelectionRecord,
    SamplesRecord,
    ReportRecord,
)
RUNS, DATASETS, PROGRESS, ENCODINGS = "runs/", "datasets/", "datasets/progress/", "encodings/"
MODELS: Final = "models/"

_RUN = rf"runs/(?P<run>{NAME.pattern})/"
_FORMS = {kind: kind.address.removesuffix(".json").format(r"(?P<i0>\d+)", r"(?P<i1>\d+)") for kind in KINDS}
_RECORDS = {kind: re.compile(rf"{_RUN}{form}\.json") for kind, form in _FORMS.items()}
_PLACES = "|".join(re.sub(r"\?P<i\d>", "?:", form) for form in _FORMS.values())
_OBJECT = re.compile(rf"{_RUN}(?:{_PLACES}|release)/[0-9a-f]{{16}}/.+")
_CHECKPOINT = re.compile(rf"(?P<whole>{_RUN}checkpoints/\d+/\d+/)[0-9a-f]{{8}}/\d{{10}}/.+")
_BATCHES = re.compile(rf"(?P<whole>{_RUN}checkpoints/samples/\d+/\d+/)[a-z_]+/\d{{10}}-\d{{10}}/.+")
_DATA = re.compile(r"datasets/(?:chunks/[0-9a-f]{64}|[0-9a-f]{64}/[0-9a-f]{16}/.+)")
_ENCODED = re.compile(r"encodings/[0-9a-f]{64}/(?:latents|texts)/\d+/[0-9a-f]{16}/.+")
_ENCODED_BLOCK = re.compile(r"encodings/[0-9a-f]{64}/(?:latents|texts)/\d+\.json")
_DATA_MANIFEST = re.compile(r"datasets/([0-9a-f]{64})\.json")
_SOURCE = re.compile(r"datasets/sources/([0-9a-f]{64})\.json")
_RELEASE = re.compile(rf"models/(?P<model>{NAME.pattern})/(?:history/(?P<number>\d{{6,}})|released)\.json")
_PROGRESS = re.compile(r"(?P<whole>datasets/progress/[0-9a-f]{64}/)\d+/(?:parts/\d+\.json|chunks/[0-9a-f]{64})")


@dataclass(frozen=True)
class RecordKey:
    """Where a record is.

    Attributes:
        run: the run's name.
        index: what the record's address takes.
    """

    run: str
    kind: type[Record]
    index: tuple[int, ...]


def record_at(key: str) -> RecordKey | None:
    """The record that a key is of."""
    for kind, form in _RECORDS.items():
        if found := form.fullmatch(key):
            index = tuple(int(found[name]) for name in ("i0", "i1") if name in form.groupindex)
            return RecordKey(found["run"], kind, index)
    return None


def tracking_prefix(run: Run) -> str:
    """Where the event files for TensorBoard are. No record names them, and `gc` leaves them alone."""
    return f"{run.prefix}/tracking/"


def run_of(key: str) -> str | None:
    """The run that a key is below, by its name."""
    found = re.match(_RUN, key)
    return found["run"] if found else None


def is_object(key: str) -> bool:
    """Whether it is an object that a record of a run may name."""
    return _OBJECT.fullmatch(key) is not None


def is_data(key: str) -> bool:
    """Whether it is an object that the manifest of a data set, or of a block of its encodings, may name."""
    return (_DATA.fullmatch(key) or _ENCODED.fullmatch(key)) is not None


def is_encoded_block(key: str) -> bool:
    """Whether it is the manifest of a block of encodings."""
    return _ENCODED_BLOCK.fullmatch(key) is not None


def data_manifest_of(key: str) -> str | None:
    """The digest of the data set whose manifest it is."""
    found = _DATA_MANIFEST.fullmatch(key)
    return found[1] if found else None


def source_of(key: str) -> str | None:
    """The source's hash where it says "already prepared"."""
    found = _SOURCE.fullmatch(key)
    return found[1] if found else None


@dataclass(frozen=True)
class ReleaseKey:
    """Where a record of a released model is.

    Attributes:
        model: its name.
        number: in its history; None for the one that says which is released now.
    """

    model: str
    number: int | None


def release_at(key: str) -> ReleaseKey | None:
    """The record of a released model that a key is of."""
    found = _RELEASE.fullmatch(key)
    return ReleaseKey(found["model"], int(found["number"]) if found["number"] else None) if found else None


def progress_of(key: str) -> str | None:
    """The prefix of one piece of unfinished work that it belongs to.

    That is one proxy's checkpoints, the finished batches of one part of the images, or one source's parts.
    """
    found = _CHECKPOINT.fullmatch(key) or _BATCHES.fullmatch(key) or _PROGRESS.fullmatch(key)
    return found["whole"] if found else None

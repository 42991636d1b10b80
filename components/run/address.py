"""Where everything of a run is: ROOT/runs/NAME, and the records below it."""

import re
from dataclasses import dataclass
from typing import Self, TypeVar

from unecho.components.config import RunConfig
from unecho.components.failure import Fatal
from unecho.components.run.records import ModelRecord, Plan, Record
from unecho.components.store import ObjectRef, Store, find_parsed, open_store, put_object
from unecho.components.store.base import Buffer

R = TypeVar("R", bound=Record)
NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,46}[a-z0-9])?")
"""The name of a run."""


def check_name(name: str) -> None:
    """Whether a run may be called so.

    Raises:
        Fatal: it may not.
    """
    if not NAME.fullmatch(name):
        raise Fatal(f"run name: '{name}': use at most 48 lower-case letters, digits and inner dashes")


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
        return cls.at(root, name)

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
            raise Fatal(f"{self.store.address(self.key(kind, *index))}: missing: step {kind.made_by} has not made it")
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
        return plan

    def config(self) -> RunConfig:
        """The configuration of the plan's newest revision."""
        return self.plan().config

    def last_model(self, config: RunConfig) -> ModelRecord:
        """The model that is sampled, evaluated and released: of the last round, or where a rule stopped.

        Raises:
            Fatal: the rounds are not complete.
        """
        for round in range(config.iet.rounds, -1, -1):
            model = self.find(ModelRecord, round)
            if model is None:
                continue
            if model.stop is None and round < config.iet.rounds:
                break
            return model
        return self.load(ModelRecord, config.iet.rounds)

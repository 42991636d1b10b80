"""Models that are released: what NAME is now, and what it was before.

ROOT/models/NAME/history/000001.json, 000002.json, ... are the truth: a record each, created only where there is none,
never changed, and the highest number is what is released. ROOT/models/NAME/released.json is that record once more
under a fixed name, for whoever has no mind to list. It is written after the record, so it may be behind for a moment,
or for longer after a crash; whoever finds it behind mends it.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from ..config.fields import FILE_FIELDS, flat_fields
from ..failure import Beaten, Fatal
from ..store import ObjectRef, Store, parsed
from .address import MODELS, check_name, release_at
from .records import Plan


class Release(BaseModel):
    """What a name stands for from this record on, who decided it, and by what."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    version: Literal[1] = 1
    model: str
    """The name."""
    number: int
    """In its history, from 1."""
    kind: Literal["promote", "rollback"]
    by: str
    at: str
    """ISO 8601, UTC."""
    code: str
    """Version of the program."""
    attempt: str
    """Drawn at random: no two records are the same bytes, so that of two writers each knows whose record stands."""
    run: str
    """Name of the run, at the same root."""
    report: int
    """Number of the run's report."""
    round: int
    """Rounds of training that the model has had."""
    folder: str
    """Key of the released diffusers folder."""
    dataset: str
    """Digest of the data set."""
    config: str
    """Of the method, see `config_digest`."""
    verdict: Literal["above", "at_or_below", "unclear", "undecided"]
    """Of the report: undecided for a smoke run."""
    smoke: str | None = None
    """Why it was a smoke run; None for a real one."""
    headline: dict[str, float]
    """The figures of the report's final table."""
    gate: str | None = None
    """SHA-256 of the result of the gate; None where none was given."""
    policy: str | None = None
    """SHA-256 of the gate's policy."""
    replaces: int | None = None
    """What was released until now."""
    restores: int | None = None
    """Of a rollback: the promotion that it goes back to."""
    objects: dict[str, ObjectRef] = Field(default_factory=dict)
    """The report's files and the model's, by name: what `gc` leaves alone for as long as this record is there."""

    @property
    def promotion(self) -> int:
        """Number of the promotion that this is, or goes back to."""
        return self.number if self.restores is None else self.restores

    def __str__(self) -> str:
        return f"{self.model} {self.number}"


@dataclass(frozen=True)
class ReleasedModel:
    """A name below a root, and its history.

    Attributes:
        store: the store at ROOT.
        name: of the form that a run's has.
    """

    store: Store
    name: str

    def __post_init__(self) -> None:
        check_name(self.name, "model")

    @property
    def url(self) -> str:
        """Its address."""
        return f"{self.store.url}/{MODELS}{self.name}"

    @property
    def pointer(self) -> str:
        """Key of the record under its fixed name."""
        return f"{MODELS}{self.name}/released.json"

    def key(self, number: int) -> str:
        """Key of a record of the history."""
        return f"{MODELS}{self.name}/history/{number:06}.json"

    def numbers(self) -> list[int]:
        """Of the records that are there, rising."""
        found = (release_at(stat.key) for stat in self.store.list(f"{MODELS}{self.name}/history/"))
        return sorted(at.number for at in found if at and at.number is not None)

    def load(self, number: int) -> Release:
        """A record of the history.

        Raises:
            Fatal: there is none of that number, or it cannot be read; names it.
        """
        return self._parsed(number, self._bytes(number))

    def current(self) -> Release | None:
        """What is released; None where nothing is."""
        numbers = self.numbers()
        return self.load(numbers[-1]) if numbers else None

    def history(self) -> list[Release]:
        """Every record, the first one first."""
        return [self.load(number) for number in self.numbers()]

    def append(self, release: Release) -> Release:
        """Commit the next record: from then on it is what is released.

        Raises:
            Beaten: somebody else has committed one of that number; nothing was changed.
        """
        if not self.store.create(self.key(release.number), release.model_dump_json(indent=1).encode()):
            raise self.beaten_by(self.load(release.number))
        self.mend()
        return release

    def beaten_by(self, other: Release) -> Beaten:
        """What is told to whoever came after another."""
        return Beaten(
            f"{self.url}: somebody else was first: {other.by} has {_DONE[other.kind]} run {other.run}, which is number "
            f"{other.number} now. Nothing was changed: unecho released {self.name} --root {self.store.url}"
        )

    def is_behind(self) -> bool:
        """Whether released.json is not what the history says."""
        numbers = self.numbers()
        return bool(numbers) and self.store.find(self.pointer) != self._bytes(numbers[-1])

    def mend(self) -> None:
        """Write released.json until it is what the history says.

        Who writes looks again afterwards: a slow writer of an older record, which would hide a newer one, sees that one
        and writes it.
        """
        while self.is_behind():
            self.store.put(self.pointer, self._bytes(self.numbers()[-1]))

    def _bytes(self, number: int) -> bytes:
        data = self.store.find(self.key(number))
        if data is None:
            raise Fatal(
                f"{self.store.address(self.key(number))}: no such record: unecho released {self.name} "
                f"--root {self.store.url} lists those that there are"
            )
        return data

    def _parsed(self, number: int, data: bytes) -> Release:
        release = parsed(self.store, self.key(number), data, Release)
        if (release.model, release.number) != (self.name, number):
            raise Fatal(f"{self.store.address(self.key(number))}: altered: it says that it is {release}")
        if max(release.replaces or 0, release.restores or 0) >= number:
            raise Fatal(f"{self.store.address(self.key(number))}: altered: it names a record that is later than itself")
        return release


_DONE = {"promote": "promoted", "rollback": "gone back to"}


def released_models(store: Store) -> list[ReleasedModel]:
    """Every name below a root that has a history."""
    found = (release_at(stat.key) for stat in store.list(MODELS))
    return [ReleasedModel(store, name) for name in sorted({at.model for at in found if at and at.number is not None})]


def config_digest(plan: Plan) -> str:
    """SHA-256 of what a run's result depends on, its data set aside: the frozen fields, and what the files hold that
    these name. Where data and files lie, and what the preset was called, does not count. Of `released:NAME` the name
    counts alone: to start from what is released is the same configuration each time.
    """
    fields = flat_fields(plan.config.method().model_dump(mode="json"))
    files = plan.files or {}
    held: dict[str, object] = {name: files.get(name, fields[name]) for name in FILE_FIELDS}
    newest = f"released:{plan.released.model}" if plan.released else None
    if plan.base is not None:
        held["model.pretrained"] = newest if fields["model.pretrained"] == newest else plan.base
    counted = {name: value for name, value in fields.items() if name not in ("preset", "data.source")} | held
    return hashlib.sha256(json.dumps(counted, sort_keys=True).encode()).hexdigest()

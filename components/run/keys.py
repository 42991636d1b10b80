"""What a key below a root is: a record of a run, one of its objects, part of a data set, or none of ours."""

import re
from dataclasses import dataclass
from typing import Final

from unecho.components.run.address import NAME
from unecho.components.run.records import (
    Assignment,
    BeginRecord,
    DatasetRecord,
    ModelRecord,
    Plan,
    ProxyRecord,
    Record,
    ReportRecord,
    SamplesRecord,
)

KINDS: Final[tuple[type[Record], ...]] = (
    Plan,
    DatasetRecord,
    Assignment,
    BeginRecord,
    ModelRecord,
    ProxyRecord,
    SamplesRecord,
    ReportRecord,
)
RUNS, DATASETS, PROGRESS = "runs/", "datasets/", "datasets/progress/"

_RUN = rf"runs/(?P<run>{NAME.pattern})/"
_FORMS = {kind: kind.address.removesuffix(".json").format(r"(?P<i0>\d+)", r"(?P<i1>\d+)") for kind in KINDS}
_RECORDS = {kind: re.compile(rf"{_RUN}{form}\.json") for kind, form in _FORMS.items()}
_PLACES = "|".join(re.sub(r"\?P<i\d>", "?:", form) for form in _FORMS.values())
_OBJECT = re.compile(rf"{_RUN}(?:{_PLACES}|release)/[0-9a-f]{{16}}/.+")
_CHECKPOINT = re.compile(rf"(?P<whole>{_RUN}checkpoints/\d+/\d+/)[0-9a-f]{{8}}/\d{{10}}/.+")
_DATA = re.compile(r"datasets/(?:chunks/[0-9a-f]{64}|[0-9a-f]{64}/[0-9a-f]{16}/.+)")
_DATA_MANIFEST = re.compile(r"datasets/([0-9a-f]{64})\.json")
_SOURCE = re.compile(r"datasets/sources/([0-9a-f]{64})\.json")
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


def run_of(key: str) -> str | None:
    """The run that a key is below, by its name."""
    found = re.match(_RUN, key)
    return found["run"] if found else None


def is_object(key: str) -> bool:
    """Whether it is an object that a record of a run may name."""
    return _OBJECT.fullmatch(key) is not None


def is_data(key: str) -> bool:
    """Whether it is an object that the manifest of a data set may name."""
    return _DATA.fullmatch(key) is not None


def data_manifest_of(key: str) -> str | None:
    """The digest of the data set whose manifest it is."""
    found = _DATA_MANIFEST.fullmatch(key)
    return found[1] if found else None


def source_of(key: str) -> str | None:
    """The source's hash where it says "already prepared"."""
    found = _SOURCE.fullmatch(key)
    return found[1] if found else None


def progress_of(key: str) -> str | None:
    """The prefix of one piece of unfinished work that it belongs to: one proxy's checkpoints, one source's parts."""
    found = _CHECKPOINT.fullmatch(key) or _PROGRESS.fullmatch(key)
    return found["whole"] if found else None

"""Deletion requests: which samples are to be left out of the data sets of a root from now on.

ROOT/forgotten/000001.json, 000002.json, ...: a record each, created only where there is none, never changed. A run's
plan freezes up to which number they apply to it.
"""

import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from ..data.forgotten import Asked, LeftOut, Numbered
from ..failure import Fatal
from ..store import Store, fetch, find_parsed, parsed
from .address import Run
from .records import DatasetRecord, Plan

FORGOTTEN: Final = "forgotten/"
_THREADS: Final = 8
_REQUEST: Final = re.compile(r"forgotten/(\d{6,})\.json")


class HeldBefore(BaseModel):
    """A data set that stood below the root when a request was recorded."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    dataset: str
    """Its digest."""
    training: int
    """Samples of it that the request asks for and that are trained on."""
    held_out: int
    """The same of those that are not."""


class Request(BaseModel):
    """What is to be forgotten, who asked for it, when and why."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    version: Literal[1] = 1
    number: int
    """From 1, without a gap."""
    by: str
    at: str
    """ISO 8601, UTC."""
    because: str | None = None
    code: str
    """Version of the program."""
    attempt: str
    """Drawn at random: no two records are the same bytes, so that of two writers each knows whose record stands."""
    lines: list[Asked]
    held: list[HeldBefore] = Field(default_factory=list)
    """Every data set that was there, those that held nothing of it included: it may be removed later."""


class LeftOutList(BaseModel):
    """The file forgotten.json of a run: its own copy of what was left out, by name."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    requests: int
    """Requests 1 to this one were looked at."""
    samples: list[LeftOut] = Field(default_factory=list)


def request_key(number: int) -> str:
    """Key of a request."""
    return f"{FORGOTTEN}{number:06}.json"


def newest_request(store: Store) -> int:
    """Number of the newest request of a root; 0 where there is none."""
    found = (_REQUEST.fullmatch(stat.key) for stat in store.list(FORGOTTEN))
    return max((int(at[1]) for at in found if at), default=0)


def requests_through(store: Store, number: int) -> list[Request]:
    """Requests 1 to `number`.

    Raises:
        Fatal: one is not there, or cannot be read; names it.
    """
    if number < 2:
        return [_load(store, one) for one in range(1, number + 1)]
    with ThreadPoolExecutor(_THREADS) as threads:
        return list(threads.map(lambda one: _load(store, one), range(1, number + 1)))


def record_request(store: Store, request: Request) -> Request:
    """Commit a request under the next number that is free: of two at once none is lost.

    Args:
        request: its number does not count.

    Returns:
        it as it stands.
    """
    while True:
        numbered = request.model_copy(update={"number": newest_request(store) + 1})
        if store.create(request_key(numbered.number), numbered.model_dump_json(indent=1).encode()):
            return numbered


def lines_of(requests: Iterable[Request]) -> list[Numbered]:
    """Their lines, each with its request's number."""
    return [Numbered(request.number, asked) for request in requests for asked in request.lines]


def asked_now(store: Store) -> list[Numbered]:
    """The lines of all requests of a root, for work that freezes none."""
    return lines_of(requests_through(store, newest_request(store)))


def asked_of(run: Run, plan: Plan) -> list[Numbered]:
    """The lines that apply to a run, as its plan has frozen them.

    Raises:
        Fatal: a request is not there, or cannot be read; names it.
    """
    return lines_of(requests_through(run.store, plan.forgotten))


def left_out_of(run: Run, record: DatasetRecord) -> list[LeftOut]:
    """What was left out of a run's data set, by name."""
    ref = record.objects.get(LEFT_OUT)
    return parsed(run.store, ref.key, fetch(run.store, ref), LeftOutList).samples if ref else []


LEFT_OUT: Final = "forgotten.json"
"""Name of the object, in the record of a run's data set, that lists what was left out."""


def _load(store: Store, number: int) -> Request:
    key = request_key(number)
    request = find_parsed(store, key, Request)
    if request is None:
        raise Fatal(f"{store.address(key)}: missing: requests are numbered without a gap: restore it")
    if request.number != number:
        raise Fatal(f"{store.address(key)}: altered: it says that it is number {request.number}")
    return request

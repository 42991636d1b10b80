"""A request, recorded, and what it asks for of what is there."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from ...components.data.forgotten import Asked, Numbered
from ...components.failure import Fatal
from ...components.run.forgotten import HeldBefore, Request, record_request
from ...components.run.records import code_version
from ...components.store import Store
from .held import Held

_LONGEST_REASON = 300


@dataclass(frozen=True)
class Affected:
    """A data set that holds samples to be forgotten.

    Attributes:
        rows: these, and the first request that asks for each.
        training: how many of them are trained on; held_out: how many are not.
    """

    held: Held
    rows: dict[int, int]

    @property
    def held_out(self) -> int:
        return sum(bool(self.held.dataset.held_out[row]) for row in self.rows)

    @property
    def training(self) -> int:
        return len(self.rows) - self.held_out


def affected_by(requests: Sequence[Numbered], held: Sequence[Held]) -> list[Affected]:
    """The data sets that hold a sample that requests ask for."""
    found = (Affected(one, one.asked_for(requests)) for one in held)
    return [one for one in found if one.rows]


def record(store: Store, lines: list[Asked], by: str, because: str | None, held: Sequence[Held]) -> Request:
    """Record what is to be forgotten, and which data sets hold it now.

    Args:
        by: who asks; because: why, in a line.

    Raises:
        Fatal: `because` is no line.
    """
    if because is not None and (not because.isprintable() or not because.strip() or len(because) > _LONGEST_REASON):
        raise Fatal(f"--because: '{because[:40]}': a reason in one line of at most {_LONGEST_REASON} letters")
    counts = {one.held.digest: one for one in affected_by([Numbered(0, line) for line in lines], held)}
    before = [
        HeldBefore(
            dataset=one.digest,
            training=counts[one.digest].training if one.digest in counts else 0,
            held_out=counts[one.digest].held_out if one.digest in counts else 0,
        )
        for one in held
    ]
    request = Request(
        number=0,
        by=by,
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        because=because.strip() if because else None,
        code=code_version(),
        attempt=secrets.token_hex(4),
        lines=lines,
        held=before,
    )
    return record_request(store, request)

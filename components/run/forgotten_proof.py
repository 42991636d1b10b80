"""Whether a run has kept out what deletion requests ask for: looked up anew, in its data set and assignments."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from safetensors.numpy import load

from ..data import Dataset
from ..data.forgetting import short_digest
from ..data.forgotten import Numbered
from ..data.manifest import manifest_key
from ..data.recording import shape_of
from ..failure import Fatal
from ..store import fetch
from .address import Run
from .forgotten import asked_of, left_out_of
from .records import Assignment, DatasetRecord, Plan


@dataclass(frozen=True)
class Proof:
    """What was looked through, and nothing found.

    Attributes:
        rows: of the data set: their names and their pixels' digests.
        assignments: that say which rows were trained on in which round.
    """

    rows: int
    assignments: int


def prove_forgotten(run: Run, plan: Plan, dataset: Dataset, assignments: Iterable[int] = ()) -> Proof | None:
    """Look for what requests ask for in the rows of the data set that a run trains on, and in its assignments.

    Not by what `prepare` has found alone: by the requests' own names and digests too.

    Args:
        assignments: their rounds; each may name rows of this data set and no other, and no held-out one.

    Returns:
        None where no request applies to the run.

    Raises:
        Fatal: a sample is there that was to be left out, or an assignment is not one of this data set; names it.
    """
    if not plan.forgotten:
        return None
    asked = asked_of(run, plan)
    _check_names(run, dataset, asked)
    _check_pixels(run, dataset, asked)
    looked_at = 0
    for round in assignments:
        _check_assignment(run, dataset, round)
        looked_at += 1
    return Proof(dataset.count, looked_at)


def _check_names(run: Run, dataset: Dataset, asked: list[Numbered]) -> None:
    names = {text for _, line in asked for text in (line.text, *line.keys)}
    names |= {one.name for one in left_out_of(run, run.load(DatasetRecord))}
    for row in range(dataset.count):
        if dataset.name(row) in names:
            raise _found(run, dataset, row)


def _check_pixels(run: Run, dataset: Dataset, asked: list[Numbered]) -> None:
    shape = shape_of(dataset.manifest)
    digests = {digest.sha256 for _, line in asked for digest in line.pixels if digest.fits(shape)}
    digests |= {one.pixels for one in left_out_of(run, run.load(DatasetRecord)) if one.pixels}
    short = np.array([short_digest(sha256) for sha256 in digests], np.uint64)
    if len(found := np.flatnonzero(np.isin(dataset.row_digest, short))):
        raise _found(run, dataset, int(found[0]))


def _check_assignment(run: Run, dataset: Dataset, round: int) -> None:
    ref = run.load(Assignment, round).objects["assignment.safetensors"]
    shard = load(fetch(run.store, ref))["shard"]
    if shard.shape != (dataset.count,) or (shard[dataset.held_out] >= 0).any():
        raise Fatal(
            f"{run.store.address(ref.key)}: altered: it is no assignment of the {dataset.count} samples of data set "
            f"{dataset.digest[:16]}...: that forgotten samples were not trained on cannot be shown"
        )


def _found(run: Run, dataset: Dataset, row: int) -> Fatal:
    return Fatal(
        f"{run.store.address(manifest_key(dataset.digest))}: sample {row} ({dataset.name(row)}) is to be forgotten, "
        "and is there: nothing may be trained on it: start a run under another name, and report this"
    )

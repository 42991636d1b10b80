"""Whether images that are given as held out were."""

import numpy as np

from ..assess.reference import reference_of
from ..config import RunConfig
from ..data.near_duplicates import near_copies
from ..failure import Fatal
from ..run import DatasetRecord, Run

_NAMED = 3


def check_apart(run: Run, config: RunConfig, record: DatasetRecord) -> None:
    """Whether few of the held-out images are training images, or near duplicates of such.

    Each raises the floor, under which a copy passes: with more than `evaluate.margin` of them 'no echo' says nothing.
    A split of Unecho's own has none, since it goes by group.

    Raises:
        Fatal: they are too many; names some.
    """
    if record.held_out_set is None:
        return
    training, held_out = run.dataset(config, record.digest), run.dataset(config, record.held_out_set)
    reference = reference_of(training, held_out)
    equal = np.isin(held_out.row_digest, training.row_digest[training.train_rows])
    near = equal.copy()
    if fraction := config.data.near_duplicate:
        near |= near_copies(reference.held_out, reference.training, fraction)
    if near.mean() <= config.evaluate.margin:
        return
    found = np.flatnonzero(near).tolist()
    names = ", ".join([*(held_out.name(row) for row in found[:_NAMED]), *(["..."] if found[_NAMED:] else [])])
    alike = " (data.near_duplicate=0: only if they are equal)" if equal.mean() <= config.evaluate.margin else ""
    raise Fatal(
        f"audit.held_out: {config.audit.held_out}: {len(found)} of {held_out.count} images are training images or near "
        f"duplicates of such{alike}: {names}; copies would pass beside them: leave them out"
    )

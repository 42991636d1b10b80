"""A share of the run's images -> packed chunks, which `prepare` finds."""

import time
from contextlib import nullcontext

from ..data.packing import Share
from ..data.prepare import pack_share
from ..failure import Fatal
from ..progress import Progress
from ..run import PackRecord, Run, ran_with
from ..run.audit_sources import SOURCES, named
from ..run.forgotten import asked_of
from ..run.sources import sources_of


def pack(run: Run, index: int, progress: Progress) -> PackRecord:
    """Pack share `index` of `execution.prepare_parts`; of an audit, such a share of each source.

    Raises:
        Fatal: there is no such share, or what `prepare` says of a source: it does not exist or is empty, an image of
            the share is bad; one line.
    """
    plan = run.plan()
    execution = plan.config.execution
    parts = execution.prepare_parts
    if index >= parts:
        raise Fatal(f"step pack: --index: {index}: execution.prepare_parts is {parts}: choose at most {parts - 1}")
    if found := run.find(PackRecord, parts, index):
        return found
    started, images, asked = time.time(), 0, asked_of(run, plan)
    for field, data in sources_of(run.store, plan).items():
        with nullcontext() if field == SOURCES[0] else named(field):
            images += pack_share(run.store, data, Share(index, parts), execution.workers, progress, asked)
    record = PackRecord(part=index, parts=parts, images=images, ran_with=ran_with(started))
    return run.commit(record, parts, index)

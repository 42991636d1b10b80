"""Images in a directory or a bucket -> packed data set."""

import time

from ..data.manifest import progress_base
from ..data.prepare import packed
from ..progress import Progress
from ..run import DatasetRecord, Run, ran_with


def prepare(run: Run, progress: Progress) -> DatasetRecord:
    """Pack the run's source, or find that the store has it packed already.

    Raises:
        Fatal: the source does not exist or is empty, an image is bad, nothing is left to train on; one line.
    """
    if found := run.find(DatasetRecord):
        return found
    started = time.time()
    config = run.config()
    manifest, prepared = packed(run.store, config.data, config.execution.workers, progress)
    record = run.commit(
        DatasetRecord(
            digest=manifest.digest,
            samples=manifest.samples,
            train_samples=manifest.train_samples,
            held_out_samples=manifest.held_out_samples,
            channels=manifest.channels,
            resolution=manifest.resolution,
            notes=manifest.notes,
            ran_with=ran_with(started),
        )
    )
    run.store.delete(stat.key for stat in run.store.list(f"{progress_base(prepared)}/"))
    return record

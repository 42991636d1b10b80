"""Images in a directory or a bucket -> packed data set."""

import time
from collections import Counter

from ..config.counts import check_counts
from ..config.fields import Data
from ..data import DatasetManifest
from ..data.forgetting import forgotten_notes
from ..data.manifest import PreparedSource, prepared_source, progress_base
from ..data.prepare import packed
from ..progress import Progress
from ..run import DatasetRecord, Plan, Run, ran_with
from ..run.audit_shape import matched
from ..run.forgotten import LEFT_OUT, LeftOutList, asked_of
from . import audited
from .apart import check_apart


def prepare(run: Run, progress: Progress) -> DatasetRecord:
    """Pack the run's source, or find that the store has it packed already; of an audit, all that it compares.

    Raises:
        Fatal: the source does not exist or is empty, an image is bad, nothing is left to train on, or images cannot be
            brought to one shape; one line.
    """
    if found := run.find(DatasetRecord):
        return found
    started = time.time()
    plan = run.plan()
    asked = asked_of(run, plan)
    work = list[str]()  # what was left half-done on the way, by its prefix

    def pack(data: Data) -> DatasetManifest:
        manifest, prepared = packed(run.store, data, plan.config.execution.workers, progress, asked)
        work.append(prepared)
        return manifest

    record = _record(run, plan, pack)
    if asked and (said := prepared_source(run.store, work[0])):
        record = _without(run, plan, record, said, progress)
    record = run.commit(record.model_copy(update={"ran_with": ran_with(started)}))
    for prepared in work:
        run.store.delete(stat.key for stat in run.store.list(f"{progress_base(prepared)}/"))
    return record


def _without(run: Run, plan: Plan, record: DatasetRecord, said: PreparedSource, progress: Progress) -> DatasetRecord:
    """The record with what deletion requests have kept out of the data set: names in a file of the run's own."""
    names = LeftOutList(requests=plan.forgotten, samples=said.forgotten)
    ref = run.put(DatasetRecord, (), LEFT_OUT, names.model_dump_json(indent=1).encode())
    notes = forgotten_notes(said, plan.forgotten, record.channels, record.resolution)
    for note in notes:
        progress.note(note)
    counted = dict(Counter(one.by for one in said.forgotten))
    return record.model_copy(
        update={"objects": {LEFT_OUT: ref}, "forgotten": counted, "notes": [*record.notes, *notes]}
    )


def _record(run: Run, plan: Plan, pack: audited.Pack) -> DatasetRecord:
    config = plan.config
    if config.audit.run is not None:
        return audited.of_run(run, plan)
    if not config.is_audit:
        return _of(pack(config.data))
    data = matched(run.store, plan)
    record = _of(pack(data))
    fields, notes = audited.beside(data, config.audit, config.sample.prompts, pack)
    record = record.model_copy(update={**fields, "notes": [*record.notes, *notes]})
    check_counts(config, record.train_samples, record.held_out_samples, record.generated_samples)
    check_apart(run, config, record)
    return record


def _of(manifest: DatasetManifest) -> DatasetRecord:
    return DatasetRecord(
        digest=manifest.digest,
        samples=manifest.samples,
        train_samples=manifest.train_samples,
        held_out_samples=manifest.held_out_samples,
        channels=manifest.channels,
        resolution=manifest.resolution,
        notes=manifest.notes,
    )

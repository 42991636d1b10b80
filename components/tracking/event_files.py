"""Event files for TensorBoard: one for each record, a function of it to the byte.

TensorBoard takes every folder for a series, reads its files in the order of their names, and never goes back. Steps
that run side by side therefore write to folders of their own, in each of which files appear in order.
"""

import io
from collections.abc import Iterable

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

from ..run import Run
from ..run.address import tracking_prefix
from .scalars import Scalars


def write(run: Run, figures: Iterable[Scalars]) -> None:
    """Write those that are not there yet, below `tracking/` of the run.

    Raises:
        Fatal, OSError: of the store.
    """
    prefix = tracking_prefix(run)
    there = {stat.key for stat in run.store.list(prefix)}
    for scalars in figures:
        key = f"{prefix}{scalars.series}/events.out.tfevents.{scalars.step:06d}"
        if key not in there:
            run.store.create(key, event_file(scalars))


def event_file(scalars: Scalars) -> bytes:
    """The file's bytes: its version, then one event with all values."""
    values = [Summary.Value(tag=tag, simple_value=value) for tag, value in scalars.values.items()]
    events = (
        Event(wall_time=scalars.time, file_version="brain.Event:2"),
        Event(wall_time=scalars.time, step=scalars.step, summary=Summary(value=values)),
    )
    file = io.BytesIO()
    writer = RecordWriter(file)
    for event in events:
        writer.write(event.SerializeToString(deterministic=True))
    return file.getvalue()

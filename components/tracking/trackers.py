"""Which trackers are on, and that none of them ever stops a run."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final
from urllib.parse import urlsplit

from ..config import RunConfig
from ..failure import Stopped
from ..log import redacted
from ..progress import Progress
from ..run import Plan, Record, ReportRecord, Run
from .patience import patience
from .scalars import Scalars, has_scalars, records_with_scalars, scalars_of

MLFLOW: Final = "MLFLOW_TRACKING_URI"


def track(run: Run, record: Record, progress: Progress) -> None:
    """Hand the figures of a record that was just committed to the trackers that are on.

    After `plan`, with which every start begins, and after `evaluate` so are those of all other records that a tracker
    has not had: of a step that was killed before it told, and of rounds in which the tracker was off or away.

    What fails is one note line.
    """
    if not (isinstance(record, Plan) or has_scalars(record)):
        return
    with _noted("tracking", progress):
        config = record.config if isinstance(record, Plan) else run.config()
        if config.execution.tensorboard:
            with _noted("tensorboard", progress):
                _to_tensorboard(run, config, record)
        if os.environ.get(MLFLOW):
            with _noted("mlflow", progress):
                _to_mlflow(run, config, record)


def _to_tensorboard(run: Run, config: RunConfig, record: Record) -> None:
    from . import event_files

    event_files.write(run, _figures(_records(run, record), config))


def _to_mlflow(run: Run, config: RunConfig, record: Record) -> None:
    records = _records(run, record)
    figures = list(_figures(records, config))
    reports = [one for one in records if isinstance(one, ReportRecord)]
    newest = max(reports, key=lambda report: report.round, default=None)

    def log() -> None:
        from . import mlflow_run

        mlflow_run.log(run, config, figures, newest, is_whole=_is_whole(record))

    patience.spend(log, insist=_is_whole(record))


def _records(run: Run, record: Record) -> list[Record]:
    return list(records_with_scalars(run)) if _is_whole(record) else [record]


def _figures(records: Iterable[Record], config: RunConfig) -> Iterator[Scalars]:
    return (scalars for record in records if (scalars := scalars_of(record, config)))


def _is_whole(record: Record) -> bool:
    """Whether the step stands alone in its run, and sees to all that is missing."""
    return isinstance(record, Plan | ReportRecord)


_LONGEST: Final = 300


@contextmanager
def _noted(tracker: str, progress: Progress) -> Iterator[None]:
    """What goes wrong in the block is told in one line, and the run goes on."""
    try:
        yield
    except Stopped:
        raise
    except ImportError as error:
        missing = f"{error.name or error} is not installed: pip install 'unecho[tracking]'"
        progress.note(f"{tracker}: {missing}; the run goes on")
    except Exception as error:
        progress.note(f"{tracker}: {_line(error)}; the run goes on")


def _line(error: Exception) -> str:
    """What a library says, short and without the credentials that an address may hold."""
    text = " ".join(str(error).split()) or type(error).__name__
    credentials = urlsplit(os.environ.get(MLFLOW, "")).netloc.rpartition("@")[0]  # with an '@' in the password too
    text = text.replace(credentials, "***") if credentials else text
    return redacted(text)[:_LONGEST].rstrip(". ")

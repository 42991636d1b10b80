"""What can go wrong for good, told in one line, and what each end means as an exit status."""

import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from .log import emit, is_json, write_termination_message

DONE = 0
RETRY = 1
"""Any failure that another try may cure: a lost pod, a full pod disk, a bug."""
FATAL = 2
"""Trying again cannot help."""
INTERRUPTED = 130
"""SIGINT (Ctrl-C) after a checkpoint."""
TERMINATED = 143
"""SIGTERM after a checkpoint."""


class Fatal(Exception):
    """Trying again cannot help: bad input, a missing or altered object, a loss that is not a number.

    The message is the one line that the user reads. It names the object, the field or the sample,
    says what is wrong with which value, and what to do. It must hold no secret.
    """


class Stopped(Exception):
    """The process was asked to stop (SIGTERM, SIGINT) and has kept its progress.

    Attributes:
        status: the exit status, `TERMINATED` or `INTERRUPTED`.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def status_of(work: Callable[[], Any]) -> int:
    """Do the work of a command; what went wrong is told on stderr, in one line where it is no bug.

    Returns:
        The exit status.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _terminated)
    try:
        work()
    except Fatal as error:
        return _end(str(error), FATAL)
    except Stopped as stopped:
        return _end(str(stopped), stopped.status)
    except KeyboardInterrupt:
        return _end("interrupted: the same command goes on from here", INTERRUPTED)
    except BrokenPipeError:  # the reader of our output has gone
        return RETRY
    except OSError as error:
        return _end(f"{error}: worth another try", RETRY)
    except Exception as error:  # a bug: its traceback is wanted
        line = f"{type(error).__name__}: {error}"
        write_termination_message(line)
        if not is_json():
            raise
        emit(line, level="error", status=RETRY, traceback=traceback.format_exc())
        return RETRY
    return DONE


@contextmanager
def stop_asked() -> Iterator[Callable[[], int | None]]:
    """Catch SIGTERM and SIGINT until the end of the block.

    Yields:
        What says whether to stop: None, or the exit status to stop with. Outside the main thread,
        where no signal arrives, always None.
    """
    status: list[int] = []

    def ask(number: int, frame: FrameType | None) -> None:
        status.append(TERMINATED if number == signal.SIGTERM else INTERRUPTED)

    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield lambda: status[0] if status else None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _terminated(number: int, frame: FrameType | None) -> None:
    """As process 1 of a container, SIGTERM does nothing unless it is caught."""
    raise Stopped(TERMINATED, "terminated: the same command goes on from here")


def _end(line: str, status: int) -> int:
    write_termination_message(line)
    emit(line, shown=f"unecho: {line}", level="error" if status in (RETRY, FATAL) else "warning", status=status)
    return status

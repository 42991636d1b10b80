"""What can go wrong for good, told in one line, and what each end means as an exit status."""

import re
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

from .log import emit, is_json, redacted, write_termination_message

DONE = 0
RETRY = 1
"""Any failure that another try may cure: a lost pod, a full pod disk, a bug."""
FATAL = 2
"""Trying again cannot help."""
ECHOES = 3
"""What was audited returns its training images."""
UNDECIDED = 4
"""What was audited can neither be cleared nor accused."""
INTERRUPTED = 130
"""SIGINT (Ctrl-C) after a checkpoint."""
TERMINATED = 143
"""SIGTERM after a checkpoint."""


class Fatal(Exception):
    """Trying again cannot help: bad input, a missing or altered object, a loss that is not a number.

    The message is the one line that the user reads. It names the object, the field or the sample,
    says what is wrong with which value, and what to do. It must hold no secret.
    """


class Beaten(Exception):
    """Somebody else was first with what only one can do, and what they did stands.

    The message is the one line that the user reads. It names what was done, by whom, and how to look at it.
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

    Args:
        work: may return an exit status of its own.

    Returns:
        The exit status.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _terminated)
    try:
        ended = work()
    except Fatal as error:
        return _end(str(error), FATAL)
    except Beaten as error:
        return _end(str(error), RETRY)
    except Stopped as stopped:
        return _end(str(stopped), stopped.status)
    except KeyboardInterrupt:
        return _end("interrupted: the same command goes on from here", INTERRUPTED)
    except BrokenPipeError:  # the reader of our output has gone
        return RETRY
    except OSError as error:
        return _end(f"{error}: worth another try", RETRY)
    except Exception as error:
        if line := memory_line(error):
            return _end(line, FATAL)
        return _end_of_bug(error)
    return ended if isinstance(ended, int) else DONE


def _end_of_bug(error: Exception) -> int:
    """A bug: its traceback is wanted, without the secrets that texts of libraries hold."""
    line, text = redacted(f"{type(error).__name__}: {error}"), traceback.format_exc()
    write_termination_message(line)
    if is_json():
        emit(line, level="error", status=RETRY, traceback=redacted(text))
    elif redacted(text) == text:
        raise error
    else:
        print(redacted(text), end="", file=sys.stderr, flush=True)
    return RETRY


def memory_line(
    error: BaseException, field: str | None = None, value: object = None, or_on_cpu: bool = False
) -> str | None:
    """The line for memory that did not suffice, of the host or of a device; None where that is not what happened.

    By the names of classes and the words of CUDA's libraries, so that nothing is imported: torch.OutOfMemoryError,
    cuBLAS and cuDNN that found no room for their workspaces, Triton, numpy's, Python's own; also of what was compiled,
    whose errors wrap these. A pod that the kernel kills says nothing; it is worth another try, perhaps on another node.

    Args:
        field: the field of the configuration to lower, and its value.
        or_on_cpu: whether a processor could do the same.
    """
    found = next((one for one in map(_memory, _wrapped(error)) if one), None)
    if found is None:
        return None
    where, text = found
    asked = _ALLOCATION.search(text)
    cause = f"{where} memory does not suffice" + (f" ({asked[0]})" if asked else "")
    otherwise = ", or set execution.device=cpu" if or_on_cpu and where == _DEVICE else ""
    return f"{cause}: " + (f"{field} is {value}: lower it{otherwise}" if field else "give it more")


def _wrapped(error: BaseException) -> Iterator[BaseException]:
    """An error, and those that it was raised from or that torch's compiler wraps, as far as these go."""
    inner: BaseException | None = error
    for _ in range(_MOST_WRAPPED):
        if inner is None:
            return
        yield inner
        inner = getattr(inner, "inner_exception", None) or inner.__cause__


def _memory(error: BaseException) -> tuple[str, str] | None:
    """Whose memory an error says did not suffice, and its words; None where it says nothing of the kind."""
    text = " ".join(str(error).split())
    if isinstance(error, MemoryError) or _ON_HOST.search(text):
        return _HOST, text
    if "OutOfMemoryError" in {kind.__name__ for kind in type(error).__mro__} or _ON_DEVICE.search(text):
        return _DEVICE, text
    return None


_HOST: Final = "this machine's"
_DEVICE: Final = "the device's"
_MOST_WRAPPED: Final = 8
_ON_HOST: Final = re.compile(r"DefaultCPUAllocator|_HOST_ALLOCATION_FAILED")
_ON_DEVICE: Final = re.compile(
    r"\b(?:CUDA|HIP|MPS)\b[^:]{0,40}:? out of memory|\bCU[A-Z]+_(?:\w+_)?ALLOC(?:ATION)?_FAILED"
)


@contextmanager
def memory_by_field(field: str | None, value: Callable[[], object], or_on_cpu: bool = False) -> Iterator[None]:
    """Memory that runs out within the block is told by the field that says how much is needed.

    Args:
        value: gives the field's value; called only then.
        or_on_cpu: as in `memory_line`.

    Raises:
        Fatal: in place of the error: as much memory is missing at the next try.
    """
    try:
        yield
    except Exception as error:
        if memory_line(error) is None:
            raise
        line = memory_line(error, field, value() if field else None, or_on_cpu)
    else:
        return
    raise Fatal(line)  # out of the clause, so that what filled the memory is let go


_ALLOCATION = re.compile(r"(?i)(?:tried to allocate|unable to allocate) [\d.,]+ ?(?:[kmgt]i?b|bytes)")


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

"""A step in a process of its own on this machine: started, listened to, told to stop; and how it ended.

The process is a pod's, `unecho step ...`, and says what it does as JSON lines. Its standard input is a pipe of whom
started it: it stops, after a checkpoint, once that has gone, however it went; where it could do nothing alone, at once.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from .failure import TERMINATED
from .progress import Progress

_PARENT: Final = "UNECHO_PARENT"
"""In the environment of a process that one of this package has started: its standard input is the pipe."""
_KEEPS: Final = "keeps"
_GRACE_S: Final = 300.0
"""What a process may take for its checkpoint after the one that started it has gone."""
_LISTENED_EVERY_S: Final = 0.5
_MODULE: Final = "unecho.components"


@dataclass(frozen=True)
class End:
    """How a process ended.

    Attributes:
        status: its exit status; below 0 the signal that killed it.
        line: its last words.
        traceback: of a bug.
    """

    status: int
    line: str
    traceback: str | None = None

    def __str__(self) -> str:
        """In one line."""
        if self.status == -signal.SIGKILL:
            return "killed (SIGKILL): perhaps this machine's memory did not suffice"
        if self.status < 0:
            return f"killed ({signal.Signals(-self.status).name}): {self.line}"
        return f"ended with status {self.status}: {self.line}"


class Children:
    """Processes side by side, each run by a thread, so that all of them can be told to stop."""

    def __init__(self, *, keep: bool = True) -> None:
        """
        Args:
            keep: whether each writes a checkpoint once this process is gone; else it ends at once, since it can do
                nothing without the others.
        """
        self._keep = keep
        self._lock = threading.Lock()
        self._going: list[subprocess.Popen[bytes]] = []
        self.stopping = False

    def run(self, arguments: Sequence[str], environment: Mapping[str, str], progress: Progress) -> End:
        """Run `unecho step ARGUMENTS` to its end, passing on what it says.

        Args:
            environment: beside this process's.
        """
        with self._lock:
            if self.stopping:
                return End(TERMINATED, "not started")
            process = _start(arguments, {**environment, _PARENT: _KEEPS if self._keep else "ends"})
            self._going.append(process)
        try:
            return _listen(process, progress)
        finally:
            with self._lock:
                self._going.remove(process)

    def terminate(self) -> None:
        """Ask all to stop, each after its checkpoint; none starts from now on."""
        with self._lock:
            self.stopping = True
            for process in self._going:
                process.terminate()

    def kill(self) -> None:
        """End all at once."""
        with self._lock:
            self.stopping = True
            for process in self._going:
                process.kill()


def listened() -> bool:
    """Whether a process of this package started this one, and shows what it says."""
    return _PARENT in os.environ


def lines_every_s() -> float:
    """Least time between two lines about progress: a bar wants more of them than a log."""
    return _LISTENED_EVERY_S if listened() else 10.0


def stop_with_parent() -> None:
    """Stop as on SIGTERM once the process that started this one has gone; in any other process nothing happens."""
    if listened():
        threading.Thread(target=_outlive, name="unecho-parent", daemon=True).start()


def _outlive() -> None:
    while os.read(0, 1):
        pass
    # nobody reads it any more: a line would end the step before its checkpoint
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    if os.environ[_PARENT] == _KEEPS:
        os.kill(os.getpid(), signal.SIGTERM)
        threading.Event().wait(_GRACE_S)
    os.kill(os.getpid(), signal.SIGKILL)


def _start(arguments: Sequence[str], environment: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    # a process group of its own: Ctrl-C reaches this process alone, which then tells each once
    return subprocess.Popen(
        [sys.executable, "-P", "-m", _MODULE, *arguments],
        env={**os.environ, **environment, "UNECHO_LOG": "json"},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def _listen(process: "subprocess.Popen[bytes]", progress: Progress) -> End:
    last, ended = "said nothing", None
    assert process.stderr is not None
    assert process.stdin is not None
    with process.stderr, process.stdin:
        for raw in process.stderr:
            if not (text := raw.decode(errors="replace").rstrip()):
                continue
            line = _parsed(text)
            if "status" in line:
                ended = line
                continue
            last = line["message"]
            _pass_on(line, progress)
        status = process.wait()
    if ended is None:
        return End(status, last)
    return End(status, ended["message"], ended.get("traceback"))


def _parsed(text: str) -> dict[str, Any]:
    """A line of the package's own, or of a library that writes as it likes."""
    try:
        line = json.loads(text)
    except ValueError:
        return {"message": text}
    return line if isinstance(line, dict) and isinstance(line.get("message"), str) else {"message": text}


_ABOUT: Final = ("time", "level", "message", "step", "round", "index", "logger", "done", "total", "unit")


def _pass_on(line: dict[str, Any], progress: Progress) -> None:
    if {"done", "total", "unit"} <= line.keys():
        figures = {name: value for name, value in line.items() if name not in _ABOUT}
        progress.update(line["done"], line["total"], line["unit"], **figures)
    else:
        progress.note(line["message"])

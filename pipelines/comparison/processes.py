"""Starting runs beside each other: each is an `unecho run` or an `unecho audit` of its own, with its own log."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from ...components.failure import DONE, ECHOES, UNDECIDED, Stopped
from ..accelerators import VISIBLE, shared_out
from .arms import Entry

_LOOK_EVERY_S = 0.2
_ENDS: Final = (DONE, ECHOES, UNDECIDED)
"""Exit statuses of what has come to its end; the last two are an audit's verdict."""


@dataclass(frozen=True)
class Start:
    """A run, and how it is started.

    Attributes:
        command: of unecho, with what stands before the options.
        fields: for its configuration file.
    """

    entry: Entry
    command: Sequence[str]
    fields: dict[str, Any]


def training(entry: Entry) -> Start:
    """A run from its first step to its last."""
    return Start(entry, ("run",), json.loads(entry.config.model_dump_json()))  # by way of JSON: YAML has no tuples


@dataclass(frozen=True)
class Ended:
    """A run that is not done.

    Attributes:
        name: of the run.
        status: its exit status.
        line: what is said of it.
    """

    name: str
    status: int
    line: str


@dataclass
class _Going:
    entry: Entry
    process: "subprocess.Popen[bytes]"
    log: Path
    since: float
    share: dict[str, str]


def start_all(
    starts: Sequence[Start],
    folder: Path,
    parallel: int,
    options: Sequence[str],
    on_done: Callable[[Entry, float], None],
    gpus: Sequence[str] = (),
) -> list[Ended]:
    """Run all to their ends, `parallel` at a time; one that fails does not stop the others.

    Args:
        folder: gets a configuration and a log a run.
        options: more of each command, such as the engine.
        on_done: called with a run that is done and its seconds.
        gpus: of this machine, which those that run at a time share.

    Returns:
        Those that failed.

    Raises:
        KeyboardInterrupt, Stopped: asked to stop; every run was told so and has kept its progress.
    """
    folder.mkdir(parents=True, exist_ok=True)
    waiting, going, failed = list(starts), list[_Going](), list[Ended]()
    shares = [{VISIBLE: ",".join(share)} if share else {} for share in shared_out(gpus, parallel)]
    try:
        while waiting or going:
            while waiting and len(going) < parallel:
                going.append(_start(waiting.pop(0), folder, options, shares.pop(0)))
            time.sleep(_LOOK_EVERY_S)
            for one in [g for g in going if g.process.poll() is not None]:
                going.remove(one)
                shares.append(one.share)
                status = one.process.returncode
                if status in _ENDS:
                    on_done(one.entry, time.monotonic() - one.since)
                else:
                    line = f"ended with status {status}: {_last_line(one.log)}"
                    failed.append(Ended(one.entry.run.name, status, line))
    except (KeyboardInterrupt, Stopped):
        for one in going:
            one.process.terminate()
        for one in going:
            one.process.wait()
        raise
    return failed


def _start(start: Start, folder: Path, options: Sequence[str], share: dict[str, str]) -> _Going:
    run = start.entry.run
    config, log = (folder / f"{run.name}.{kind}" for kind in ("yaml", "log"))
    config.write_text(yaml.safe_dump(start.fields, sort_keys=False))
    address = ["--root", run.store.url, "--name", run.name, "--config", str(config)]
    with log.open("ab") as out:
        # a process group of its own: Ctrl-C reaches this process alone, which then tells each run once
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "unecho", *start.command, *address, *options],
            env=os.environ | share,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return _Going(start.entry, process, log, time.monotonic(), share)


def _last_line(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1].removeprefix("unecho: ") if lines else "said nothing"

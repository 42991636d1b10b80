"""Starting runs beside each other: each is an `unecho run` of its own, with its own log."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from ...components.failure import DONE, Stopped
from .arms import Entry

_LOOK_EVERY_S = 0.2


@dataclass(frozen=True)
class Ended:
    """A run that is not done.

    Attributes:
        status: its exit status.
        line: the last that it said.
    """

    entry: Entry
    status: int
    line: str


@dataclass
class _Going:
    entry: Entry
    process: "subprocess.Popen[bytes]"
    log: Path
    since: float


def start_all(
    entries: Sequence[Entry],
    folder: Path,
    parallel: int,
    options: Sequence[str],
    on_done: Callable[[Entry, float], None],
) -> list[Ended]:
    """Run all to their ends, `parallel` at a time; one that fails does not stop the others.

    Args:
        folder: gets a configuration and a log a run.
        options: more of `unecho run`, such as the engine.
        on_done: called with a run that is done and its seconds.

    Returns:
        Those that failed.

    Raises:
        KeyboardInterrupt, Stopped: asked to stop; every run was told so and has kept its progress.
    """
    folder.mkdir(parents=True, exist_ok=True)
    waiting, going, failed = list(entries), list[_Going](), list[Ended]()
    try:
        while waiting or going:
            while waiting and len(going) < parallel:
                going.append(_start(waiting.pop(0), folder, options))
            time.sleep(_LOOK_EVERY_S)
            for one in [g for g in going if g.process.poll() is not None]:
                going.remove(one)
                status = one.process.returncode
                if status == DONE:
                    on_done(one.entry, time.monotonic() - one.since)
                else:
                    failed.append(Ended(one.entry, status, _last_line(one.log)))
    except (KeyboardInterrupt, Stopped):
        for one in going:
            one.process.terminate()
        for one in going:
            one.process.wait()
        raise
    return failed


def _start(entry: Entry, folder: Path, options: Sequence[str]) -> _Going:
    config, log = (folder / f"{entry.run.name}.{kind}" for kind in ("yaml", "log"))
    # by way of JSON: YAML has no tuples
    config.write_text(yaml.safe_dump(json.loads(entry.config.model_dump_json()), sort_keys=False))
    command = [sys.executable, "-P", "-m", "unecho", "run", "--root", entry.run.store.url, "--name", entry.run.name]
    with log.open("ab") as out:
        # a process group of its own: Ctrl-C reaches this process alone, which then tells each run once
        process = subprocess.Popen(
            [*command, "--config", str(config), *options],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return _Going(entry, process, log, time.monotonic())


def _last_line(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1].removeprefix("unecho: ") if lines else "said nothing"

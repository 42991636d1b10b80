"""The local engine with processes side by side: the same bytes as one process, and what happens when one fails."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
from rich.console import Console

from tests.children import Forked
from tests.runs import fingerprint, finish, tiny
from unecho.components import child
from unecho.components.failure import Fatal, Stopped
from unecho.components.run import Run
from unecho.components.run.checkpoints import checkpoints_prefix
from unecho.pipelines import processes
from unecho.pipelines.accelerators import Seats
from unecho.pipelines.display import Display
from unecho.pipelines.local import Local
from unecho.pipelines.loop import Map, iet
from unecho.pipelines.processes import Processes
from unecho.pipelines.trying import Failed

CONFIG = tiny("execution.processes=2", "iet.rounds=2", "execution.checkpoint_every_s=1e-9")
TRAIN = Map("train", 0, over="shards")


@pytest.fixture
def forked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes of steps are forked from one that has imported everything."""
    monkeypatch.setattr(child, "_start", Forked)


def engine(run: Run, gpus: Sequence[str] = ()) -> Processes:
    return Processes(run, CONFIG, Display(Console(quiet=True)), Seats(2, gpus))


@pytest.mark.usefixtures("forked")
def test_two_processes_end_with_the_bytes_of_one_and_each_is_on_a_gpu_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[tuple[list[str], str | None]] = []

    def start(arguments: Sequence[str], environment: Mapping[str, str]) -> Forked:
        started.append((list(arguments), environment.get("CUDA_VISIBLE_DEVICES")))
        return Forked(arguments, environment)

    monkeypatch.setattr(child, "_start", start)
    two, one = Run.at(str(tmp_path), "two"), Run.at(str(tmp_path), "one")
    iet(engine(two, ("GPU-a", "GPU-b")))
    finish(one, CONFIG)
    assert fingerprint(two) == {key.replace("runs/one", "runs/two"): sha for key, sha in fingerprint(one).items()}
    trained = [(words, gpu) for words, gpu in started if words[0] == "train"]
    assert trained[0][0] == ["train", "--run", two.url, "--round", "0", "--index", "0"]
    assert [{gpu for words, gpu in trained if words[4] == str(round)} for round in (0, 1)] == [{"GPU-a", "GPU-b"}] * 2
    assert {words[0] for words, _ in started} >= {"train", "sample", "aggregate", "redistribute"}
    assert not {words[0] for words, _ in started} & {"plan", "prepare", "begin"}
    started.clear()
    iet(engine(two))
    assert started == [], "all is done: nothing starts"


Script = Callable[[Sequence[str]], str]


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Callable[[Script], list[str]]:
    """A few lines of Python in the place of a step, by its arguments; what was started."""

    def use(script: Script) -> list[str]:
        started: list[str] = []

        def start(arguments: Sequence[str], environment: Mapping[str, str]) -> "subprocess.Popen[bytes]":
            started.append(" ".join(arguments[:1] + arguments[3:]))
            return subprocess.Popen(
                [sys.executable, "-S", "-E", "-c", "import os, sys, signal\n" + script(arguments)],
                stdin=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )

        monkeypatch.setattr(child, "_start", start)
        monkeypatch.setattr(processes, "done", lambda *address: None)
        return started

    return use


ENDS = """print('{"message": "%s", "status": %d}', file=sys.stderr); sys.exit(%d)"""
WAITS = """
signal.signal(15, lambda *_: (open(%r, 'w').close(), sys.exit(143)))
%s
signal.pause()
"""


def test_what_cannot_be_helped_is_the_one_line_and_the_others_stop_after_a_checkpoint(
    scripted: Callable[[Script], list[str]], tmp_path: Path
) -> None:
    kept, pipe = tmp_path / "kept", tmp_path / "pipe"
    os.mkfifo(pipe)  # one fails when the other waits
    waits = WAITS % (str(kept), f"open({str(pipe)!r}, 'w').close()")
    fails = f"open({str(pipe)!r}).read()\n" + ENDS % ("shard 1: the loss is not a number", 2, 2)
    started = scripted(lambda arguments: fails if arguments[-1] == "1" else waits)
    with pytest.raises(Fatal, match=r"^shard 1: the loss is not a number$"):
        engine(Run.at(str(tmp_path), "a")).beside(TRAIN)
    assert kept.exists()
    assert sorted(started) == ["train --round 0 --index 0", "train --round 0 --index 1"]


def test_another_end_is_tried_again_as_often_as_a_jobs_index_and_then_worth_another_try(
    scripted: Callable[[Script], list[str]], tmp_path: Path
) -> None:
    killed = f"os.kill(os.getpid(), {signal.SIGKILL})"
    started = scripted(lambda arguments: killed if arguments[-1] == "1" else "")
    with pytest.raises(Failed, match=r"^train 0 1: killed \(SIGKILL\): perhaps .* did not suffice, 4 times$"):
        engine(Run.at(str(tmp_path), "a")).beside(TRAIN)
    assert started.count("train --round 0 --index 1") == 4
    assert started.count("train --round 0 --index 0") == 1


def test_asked_to_stop_it_asks_each_once_and_says_how(scripted: Callable[[Script], list[str]], tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    scripted(lambda arguments: WAITS % (str(kept), f"os.kill({os.getpid()}, 2)"))
    with pytest.raises(Stopped) as stopped:
        engine(Run.at(str(tmp_path), "a")).step("train", 0)
    assert stopped.value.status == 130
    assert kept.exists()


def test_asked_twice_it_waits_for_no_checkpoint(scripted: Callable[[Script], list[str]], tmp_path: Path) -> None:
    me = os.getpid()
    stubborn = f"signal.signal(15, lambda *_: os.kill({me}, 2))\nos.kill({me}, 2)\nwhile True: signal.pause()"
    scripted(lambda arguments: stubborn)
    with pytest.raises(Stopped):
        engine(Run.at(str(tmp_path), "a")).step("train", 0)


def test_what_they_say_is_shown_and_a_librarys_own_lines_too(
    scripted: Callable[[Script], list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = ['{"message": "3 of 3 steps", "done": 3, "total": 3, "unit": "steps", "loss": 0.5}', "a library warns"]
    scripted(lambda arguments: f"print({said[0]!r}, {said[1]!r}, sep='\\n', file=sys.stderr)")
    engine(Run.at(str(tmp_path), "a")).step("train", 0)
    assert capsys.readouterr().err.splitlines() == ["train 0: 3 of 3 steps, loss 0.5", "train 0: a library warns"]


@pytest.mark.usefixtures("forked")
def test_a_process_whose_parent_is_killed_stops_after_a_checkpoint(tmp_path: Path) -> None:
    run = Run.at(str(tmp_path), "a")
    local = Local(run, tiny("iet.local_epochs=100000"), Display(Console(quiet=True)))
    for name in ("plan", "prepare", "initialize", "shard"):
        local.step(name)
    process = Forked(["train", "--run", run.url, "--round", "0", "--index", "0"], {})
    said = iter(process.stderr)
    assert any(b'"unit": "steps"' in line for line in said), "it trains"
    process.stdin.close()  # as the kernel does it for a process that is killed, and nobody reads what is said either
    process.stderr.close()
    assert process.wait() == 143
    assert list(run.store.list(checkpoints_prefix(run, 0, 0)))

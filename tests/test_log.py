"""What is told: lines for people, JSON for machines, last words for Kubernetes."""

import json
from pathlib import Path

import pytest

from unecho.components import log
from unecho.components.failure import Fatal, Stopped, status_of
from unecho.components.progress import Lines


def told(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_progress_is_a_line_for_people_and_figures_for_machines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = Lines("train 3 1", step="train", round=3, index=1)
    lines.update(6, 6, "steps", loss=0.25)
    assert capsys.readouterr().err == "train 3 1: 6 of 6 steps, loss 0.25\n"
    monkeypatch.setenv("UNECHO_LOG", "json")
    lines.update(6, 6, "steps", loss=0.25)
    (line,) = told(capsys)
    assert line.pop("time")
    assert line == {
        "level": "info",
        "message": "6 of 6 steps, loss 0.25",
        "step": "train",
        "round": 3,
        "index": 1,
        "done": 6,
        "total": 6,
        "unit": "steps",
        "loss": 0.25,
    }


@pytest.mark.parametrize(
    ("error", "status", "level"),
    [(Fatal("x: missing"), 2, "error"), (Stopped(143, "kept"), 143, "warning"), (ZeroDivisionError("0"), 1, "error")],
)
def test_the_end_is_one_json_line_and_the_termination_message(
    error: Exception,
    status: int,
    level: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("UNECHO_LOG", "json")
    message = tmp_path / "termination-log"
    message.touch()
    monkeypatch.setattr(log, "TERMINATION_LOG", message)

    def work() -> None:
        raise error

    assert status_of(work) == status
    (line,) = told(capsys)
    assert (line["status"], line["level"]) == (status, level)
    assert str(error) in str(line["message"])
    assert message.read_text() == line["message"]
    assert ("traceback" in line) == isinstance(error, ZeroDivisionError)


def test_a_bug_keeps_its_traceback_for_people() -> None:
    with pytest.raises(ZeroDivisionError):
        status_of(lambda: 1 // 0)

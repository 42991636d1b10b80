"""unecho report: what its user types and sees."""

import json
import re
from pathlib import Path

import pytest

from tests.report.kept import finished, kept, without_floor
from unecho.components.config import resolve
from unecho.components.plan.step import plan
from unecho.components.run import Run
from unecho.pipelines.commands import main


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Run]:
    """A run, its audit without held-out images, and a report of version 1; at 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    reports = {"first": kept(2), "audit": without_floor(kept(2)), "old": kept(1)}
    return [finished(tmp_path, name, figures) for name, figures in reports.items()]


def report(runs: list[Run], *options: object) -> int:
    return main(["report", *(run.url for run in runs), *map(str, options)])


def test_the_terminal_shows_runs_figures_and_why_some_do_not_compare(
    runs: list[Run], capsys: pytest.CaptureFixture[str]
) -> None:
    assert report(runs) == 0
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert [line for line in lines if line[:3] in ("A  ", "B  ", "C  ")] == [
        f"{letter}  {run.url}" for letter, run in zip("ABC", runs, strict=True)
    ]
    assert max(len(line) for line in lines if "://" not in line) <= 80
    words = " ".join(out.split())
    assert "note: data set differs: 35b6f11e1e64 (A, B); 2301b7458caa (C)" in words
    assert "Memorization that decides, in %; not comparable (data set, version of the report)" in words
    assert "audit of model s3://models/mine" in words
    assert "No verdict: no held-out images, so no floor" in words
    assert "None" not in out


def test_a_report_alone_is_shown_too(runs: list[Run], capsys: pytest.CaptureFixture[str]) -> None:
    assert report(runs[:1]) == 0
    out = capsys.readouterr().out
    assert "not comparable" not in out
    assert out.endswith("What differs in the configuration\n\nnothing\n")


def test_json_is_one_object_and_nothing_else_on_standard_output(
    runs: list[Run], capsys: pytest.CaptureFixture[str]
) -> None:
    assert report(runs, "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert [run["run"] for run in answer["runs"]] == [run.url for run in runs]
    assert [run["verdict"] for run in answer["runs"]] == ["undecided"] * 3
    assert answer["runs"][1]["metrics"]["frechet_pixels_training"] == 1.25
    assert answer["runs"][1]["subject"] == "model s3://models/mine"
    line = next(line for line in answer["lines"] if line["name"] == "MQ < 0.1 aware")
    assert line["cells"] == ["0.0 [0.0, 10.7]"] * 3
    assert line["not_comparable"] == ["data set", "version of the report"]


def test_the_page_and_the_markdown_have_every_run_and_no_image_or_script(
    runs: list[Run], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page, markdown = tmp_path / "new" / "page.html", tmp_path / "new" / "tables.md"
    assert report(runs, "--out", page, "--markdown", markdown) == 0
    html = page.read_text()
    assert not re.search(r"<img|<script|<link|https?://|url\(|@import", html)
    assert html.count("<svg") == 3
    for text in (html, markdown.read_text()):
        assert all(run.url in text for run in runs)
        assert "not comparable" in text
        assert "None" not in text
    assert "| MQ &lt; 0.1 aware | 0.0 [0.0, 10.7] | 0.0 [0.0, 10.7] | 0.0 [0.0, 10.7] |" in markdown.read_text()


def test_text_from_elsewhere_is_text_on_the_page(tmp_path: Path) -> None:
    figures = without_floor(kept(2))
    source = figures.provenance.model_copy(update={"subject": "images /<script>alert(1)</script>"})
    run = finished(tmp_path, "evil", figures.model_copy(update={"provenance": source}))
    assert report([run], "--out", tmp_path / "page.html") == 0
    assert "<script" not in (tmp_path / "page.html").read_text()


def test_a_mistake_is_one_line(runs: list[Run], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    half = Run(runs[0].store, "half")
    plan(half, resolve("tiny"))
    nobody = Run(runs[0].store, "nobody")
    for some, options, line in (
        (
            [runs[0], half],
            [],
            f"{half.url}: not finished (planned, 2 rounds): start it again and it goes on, then report",
        ),
        ([nobody], [], f"{nobody.url}: no such run"),
        ([runs[0], runs[0]], [], f"{runs[0].url}: given twice: name every run once"),
        (runs, ["--out", tmp_path], f"--out: {tmp_path}: Is a directory: choose another file"),
    ):
        assert report(some, *options) == 2
        assert capsys.readouterr().err == f"unecho: {line}\n"
    assert main(["report", "nowhere"]) == 2
    assert "ROOT/runs/NAME" in capsys.readouterr().err

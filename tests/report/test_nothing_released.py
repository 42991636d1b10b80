"""An audit releases no model: what each command and Kubeflow's UI show of one, beside a run's."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from tests.report.kept import SUBJECT, finished, kept, report_of, without_floor
from unecho.components.kubeflow_task.outputs import given
from unecho.components.report.summary import summary
from unecho.components.run import Run
from unecho.pipelines.commands import main
from unecho.pipelines.commands.looped import show


@pytest.fixture
def audit(tmp_path: Path) -> Run:
    return finished(tmp_path, "audit", without_floor(kept(2)))


@pytest.fixture
def trained(tmp_path: Path) -> Run:
    return finished(tmp_path, "trained", kept(2))


def shown(run: Run) -> str:
    console = Console(file=io.StringIO(), width=80, highlight=False, markup=False)
    show(console, run, report_of(run))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_final_table_of_an_audit_names_its_report_alone(audit: Run, trained: Run) -> None:
    assert "\nmodel   " in shown(trained)
    assert "DDIMPipeline" in shown(trained)
    text = shown(audit)
    assert "\nreport  " in text
    assert "\nmodel " not in text
    assert "Pipeline.from_pretrained" not in text
    assert "None" not in text
    assert "No verdict: no held-out images" in text
    figures = text[: text.index("No verdict")]
    assert max(map(len, figures.splitlines())) <= 80


def test_the_summary_of_an_audit_says_what_was_audited_and_nothing_of_training(audit: Run, trained: Run) -> None:
    assert "2 of 2 rounds." in summary(trained, report_of(trained))
    assert "- model: `" in summary(trained, report_of(trained))
    text = summary(audit, report_of(audit))
    assert f"- audit of {SUBJECT}" in text
    assert "- report to a directory: `unecho pull " in text
    for word in ("rounds", "- model:", "None", "real images |"):
        assert word not in text, word


def test_kubeflow_gets_no_model_of_an_audit_and_no_rounds(audit: Run, trained: Run) -> None:
    assert set(given("evaluate", trained, report_of(trained))) == {"verdict", "metrics", "report", "summary", "model"}
    gives = given("evaluate", audit, report_of(audit))
    assert set(gives) == {"verdict", "metrics", "report", "summary"}
    assert gives["verdict"] == "undecided"
    assert list(gives["metrics"].metadata) == ["mq_aware_0.1", "second_nearest_aware", "frechet_pixels_training"]


def test_pull_brings_an_audits_report_and_says_that_there_is_no_model(
    audit: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["pull", audit.url, str(tmp_path / "out")]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["report.html", "report.json"]
    assert json.loads((tmp_path / "out" / "report.json").read_text())["quality"] is None
    assert main(["pull", audit.url, str(tmp_path / "model"), "--what", "model"]) == 2
    line = capsys.readouterr().err.strip()
    assert line == f"unecho: {audit.url}: --what model: it holds none: it released no model (of report, shared)"


def test_ls_shows_a_run_without_a_floor_and_one_whose_floor_has_two_figures(
    audit: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = kept(2)
    apart = [m.model_copy(update={"floor_apart": m.floor}) for m in figures.memorization]
    finished(tmp_path, "apart", figures.model_copy(update={"memorization": apart}))
    assert main(["ls", str(tmp_path)]) == 0
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line.strip()}
    assert rows["audit"].split()[-2:] == ["0.0%", "none"]
    assert rows["apart"].split()[-4:] == ["0.0%", "1.6%", "frechet", "12.8"]

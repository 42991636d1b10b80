"""`unecho compare`, whole: runs in processes of their own, tables, page, and going on."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.runs import fingerprint
from unecho.components.failure import DONE, FATAL, TERMINATED
from unecho.components.run import DatasetRecord, Plan, ReportRecord, Run
from unecho.pipelines.commands import main

QUICK = "--preset tiny --variants default,iet-agc+ --seeds 1 --no-classifier"


def compare(root: Path, options: str, out: str = "out") -> int:
    return main(["compare", "--root", str(root), "--out", str(root / out), *options.split()])


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("compared")
    assert compare(root, "--preset tiny --variants default,iet-agc+ --seeds 1") == DONE
    return root


def test_the_page_the_tables_and_the_plots_hold_what_the_runs_reports_say(compared: Path) -> None:
    found = json.loads((compared / "out/compare.json").read_text())
    assert [run["arm"] for run in found["runs"]] == ["default", "iet-agc+"]
    assert found["missing"] == []
    for said in found["runs"]:
        run = Run.parse(said["run"])
        report = run.load(ReportRecord, 2)
        for name, value in report.headline.items():
            assert said[name] == pytest.approx(value)
    html = (compared / "out/compare.html").read_text()
    assert html.count("<svg") == 2  # on pixels and on the classifier's features
    assert html.count("<img") == 3 * 24  # two arms and real images
    assert "<script" not in html
    assert not re.search(r"(src|href)=\"(?!data:)", html)
    assert "| iet-agc+ |" in (compared / "out/compare.md").read_text()
    assert (compared / "out/compare-pixels.svg").read_text().startswith("<svg")


def test_all_runs_share_one_data_set_and_one_classifier(compared: Path) -> None:
    configs = [Run.at(str(compared), f"tiny-{arm}-0").config() for arm in ("default", "iet-agc-plus")]
    assert configs[0].evaluate.features == ("pixels", "onnx")
    assert configs[0].evaluate.onnx_model == configs[1].evaluate.onnx_model
    records = [
        json.loads((compared / f"runs/tiny-{a}-0/dataset.json").read_text()) for a in ("default", "iet-agc-plus")
    ]
    assert records[0]["digest"] == records[1]["digest"]


def test_a_second_start_computes_nothing_and_says_the_same(compared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = json.loads((compared / "out/compare.json").read_text())
    runs = [Run.parse(run["run"]) for run in before["runs"]]
    bytes_before = [fingerprint(run) for run in runs]
    assert compare(compared, "--preset tiny --variants default,iet-agc+ --seeds 1", "again") == DONE
    assert "2 runs, 2 done before" in capsys.readouterr().out
    after = json.loads((compared / "again/compare.json").read_text())
    assert (after["arms"], after["runs"]) == (before["arms"], before["runs"])
    assert [fingerprint(run) for run in runs] == bytes_before
    assert not (compared / "again/runs").exists() or not list((compared / "again/runs").iterdir())


def test_runs_that_were_started_with_other_settings_are_refused_by_name(
    compared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = "--preset tiny --variants default,iet-agc+ --seeds 1 --set agc.skip_ratio=3"
    assert compare(compared, options, "other") == FATAL
    assert "runs/tiny-default-0: agc.skip_ratio: was 2.0, now 3.0" in capsys.readouterr().err


def test_a_run_that_fails_is_named_and_the_others_are_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arms = tmp_path / "arms.yaml"
    arms.write_text("broken: {variant: default, model: {pretrained: none-such}}\n")
    assert compare(tmp_path, f"{QUICK.replace('default,iet-agc+', 'default')} --arms {arms}") == FATAL
    told = capsys.readouterr()
    assert "tiny-broken-0: ended with status 2: model.pretrained:" in told.out
    assert "1 of 2 runs failed" in told.err
    found = json.loads((tmp_path / "out/compare.json").read_text())
    assert [run["arm"] for run in found["runs"]] == ["default"]
    assert found["missing"] == ["tiny-broken-0"]


def test_arms_are_compared_on_one_data_set_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arms = tmp_path / "arms.yaml"
    arms.write_text("few: {variant: default, data: {train_limit: 32}}\n")
    assert compare(tmp_path, f"{QUICK} --arms {arms}") == FATAL
    assert "arm few: its section data is not that of arm default: arms are compared on one" in capsys.readouterr().err
    run = Run.at(str(tmp_path), "tiny-default-0")  # of an earlier start, before images were added
    record = DatasetRecord(
        digest="d" * 64, samples=2, train_samples=1, held_out_samples=1, channels=1, resolution=8, notes=[]
    )
    run.commit(record)
    assert compare(tmp_path, QUICK) == FATAL
    assert "runs/tiny-default-0: trains on data set dddddddddddddddd..., the others on" in capsys.readouterr().err


def test_asked_to_stop_it_tells_its_runs_and_goes_on_from_there(tmp_path: Path) -> None:
    options = f"{QUICK} --set iet.rounds=400 --parallel 2"
    line = [sys.executable, "-m", "unecho", "compare", "--root", str(tmp_path), "--out", str(tmp_path / "out")]
    process = subprocess.Popen([*line, *options.split()], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    runs = [Run.at(str(tmp_path), f"tiny-{arm}-0") for arm in ("default", "iet-agc-plus")]
    until = time.monotonic() + 120
    while not all(run.store.stat(f"{run.prefix}/models/1.json") for run in runs):
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == TERMINATED
    assert said.strip().splitlines()[-1].startswith("unecho: stopped; what is done is kept")
    for run in runs:
        assert run.find(ReportRecord, 400) is None
        log = (tmp_path / f"out/runs/{run.name}.log").read_text()
        assert "stopped" in log.splitlines()[-1]
    alive = subprocess.run(["pgrep", "-f", str(tmp_path)], capture_output=True, text=True, check=False).stdout.split()
    assert [pid for pid in alive if int(pid) != os.getpid()] == []
    models = len(list(runs[0].store.list(f"{runs[0].prefix}/models/")))
    assert models > 1
    assert runs[0].find(Plan, 0) is not None


def test_without_labels_quality_is_judged_by_pixels_and_a_line_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare(tmp_path, "--preset tiny --variants default --seeds 1 --set data.labels=none") == DONE
    assert "note: quality is judged by pixels alone: the images have no two classes" in capsys.readouterr().out
    (said,) = json.loads((tmp_path / "out/compare.json").read_text())["runs"]
    assert "frechet_pixels" in said
    assert "frechet_onnx" not in said


def test_it_runs_on_an_object_store_with_its_classifier_there(s3_root: str, tmp_path: Path) -> None:
    options = "--preset tiny --variants agc --seeds 1"
    assert main(["compare", "--root", s3_root, "--out", str(tmp_path), *options.split()]) == DONE
    (said,) = json.loads((tmp_path / "compare.json").read_text())["runs"]
    run = Run.parse(said["run"])
    assert run.url.startswith("s3://")
    model = run.config().evaluate.onnx_model
    assert model is not None
    assert model.startswith(f"{s3_root}/classifiers/")
    assert said["frechet_onnx"] > 0


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("--variants none-such", "--variants: 'none-such' is not 'all'"),
        ("--preset tiny --seeds 0", "--seeds: 0: at least 1"),
        ("--preset tiny --parallel 0", "--parallel: 0: at least 1"),
        ("--preset tiny --name A", "run name: 'A'"),
        ("--preset tiny --arms none.yaml", "config file none.yaml: No such file"),
        ("--preset tiny --set train.batch_size=60", "arm iet: train.batch_size: 60 is more than a shard's 48"),
        ("--preset tiny --set iet.rounds=0", "arm default: iet.rounds: 0 is not allowed"),
    ],
)
def test_a_mistake_is_one_line_before_anything_runs(
    options: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare(tmp_path, f"--no-classifier {options}") == FATAL
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("unecho: ")]
    assert len(errors) == 1
    assert errors[0].startswith(f"unecho: {says}")
    assert not (tmp_path / "runs").exists()


def test_arms_that_were_not_given_the_same_work_are_noted(
    compared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arms = tmp_path / "arms.yaml"
    arms.write_text("longer: {variant: default, iet: {rounds: 4}}\n")
    compare(tmp_path, f"{QUICK.replace('default,iet-agc+', 'default')} --arms {arms} --set data.train_limit=32")
    out = capsys.readouterr().out
    assert "note: longer is planned with 256 sample visits, default with 128" in out.replace("\n", " ")
    assert "not compared alike" in (tmp_path / "out/compare.html").read_text()

"""unecho gate: what its user, and a CI system, get."""

import hashlib
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.pipelines.gate.reports import reported
from tests.releases import given
from tests.report.kept import finished, kept, report_of, without_floor
from unecho.components.config import resolve
from unecho.components.plan.step import plan
from unecho.components.run import Plan, Run
from unecho.components.run.released import ReleasedModel
from unecho.pipelines.commands import main
from unecho.pipelines.gate.result import Gate

SHIPPED = Path(__file__).parents[2] / "docs/gate.yaml"


@pytest.fixture(autouse=True)
def _at_80_columns_without_a_ci_system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def good(tmp_path: Path) -> Run:
    return finished(tmp_path, "good", reported())


@pytest.fixture
def bad(tmp_path: Path) -> Run:
    return finished(tmp_path, "bad", reported(200, frechet=4.5))


def gate(run: Run, *options: object, policy: Path = SHIPPED) -> int:
    return main(["gate", run.url, "--policy", str(policy), *map(str, options)])


def test_the_shipped_policy_passes_a_model_at_the_floor_and_stops_one_that_echoes(
    good: Run, bad: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert gate(good, "--against", good.url) == 0
    out = capsys.readouterr().out
    assert "The gate is passed: all 9 checks." in out
    assert "FAIL" not in out
    assert gate(bad, "--against", good.url) == 1
    out = capsys.readouterr().out
    assert "The gate is not passed: 6 of 9 checks failed." in out
    pictures = next(line.split()[-1] for line in out.splitlines() if line.startswith("report "))
    assert Path(pictures).read_bytes() == b"<p>own", "the report with the pictures is found by its line"


def test_the_terminal_has_80_columns_whatever_the_figures_are_called(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = finished(tmp_path, "a", reported(1234, 12345, 111, 5000, frechet=123.45, frechet_real=0.0123))
    policy = tmp_path / "long.yaml"
    policy.write_text(
        "memorization: {second_nearest_aware: {above_floor_at_most: 0.0125}, mq_aware_0.1: {share_at_most: 0.001}}\n"
        "quality: {frechet_pixels_training: {at_most: 0.00123}, frechet_pixels: {ratio_to_released_at_most: 12.345},"
        " precision_inception: {at_least: 0.5}, recall_pixels: {ratio_to_released_at_least: 0.123}}\n"
    )
    assert gate(run, "--against", run.url, policy=policy) == 1
    lines = capsys.readouterr().out.splitlines()
    assert max(len(line) for line in lines if "://" not in line and not line.startswith("report ")) <= 80
    assert "None" not in "\n".join(lines)


def test_gate_json_says_of_which_report_and_by_which_policy(good: Run, bad: Run, tmp_path: Path) -> None:
    assert gate(bad, "--against", good.url, "--out", tmp_path / "new" / "out") == 1
    found = Gate.model_validate_json((tmp_path / "new/out/gate.json").read_bytes())
    report = report_of(bad).objects["report.json"]
    assert (found.passed, found.run, found.against) == (False, bad.url, good.url)
    assert (found.report, found.report_sha256) == (bad.store.address(report.key), report.sha256)
    assert found.against_sha256 == report_of(good).objects["report.json"].sha256
    assert found.policy_sha256 == hashlib.sha256(SHIPPED.read_bytes()).hexdigest()
    assert found.policy.memorization["mq_aware_0.1"].above_floor_at_most == 0.02
    assert [(check.figure, check.limit) for check in found.failed] == [
        ("verdict", "no_echo"),
        ("mq_aware_0.1", "above_floor_at_most"),
        ("mq_aware_0.1", "share_at_most"),
        ("second_nearest_aware", "above_floor_at_most"),
        ("frechet_pixels", "ratio_to_real_at_most"),
        ("frechet_pixels", "ratio_to_released_at_most"),
    ]


def test_json_is_the_file_and_nothing_else_on_standard_output(
    good: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert gate(good, "--against", good.url, "--json") == 0
    assert json.loads(capsys.readouterr().out) == json.loads((tmp_path / "gate.json").read_bytes())


def test_the_xml_is_a_suite_of_a_case_a_check_with_what_ci_systems_ask_for(good: Run, bad: Run, tmp_path: Path) -> None:
    assert gate(bad, "--against", good.url) == 1
    root = ElementTree.parse(tmp_path / "gate.xml").getroot()
    (suite,) = root
    cases = suite.findall("testcase")
    assert (root.tag, suite.tag) == ("testsuites", "testsuite")
    for counted in (root, suite):
        assert (counted.attrib["tests"], counted.attrib["failures"], counted.attrib["errors"]) == ("9", "6", "0")
    assert len(cases) == 9
    assert all(case.attrib["classname"] and case.attrib["name"] and case.attrib["time"] for case in cases)
    names = [(case.attrib["classname"], case.attrib["name"]) for case in cases]
    assert len(set(names)) == len(names), "GitLab takes two cases of one name for one"
    assert names[2] == ("gate.memorization", "mq_aware_0.1: above_floor_at_most 0.02")
    failures = [case.find("failure") for case in cases if case.find("failure") is not None]
    assert len(failures) == 6
    assert all(failure is not None and "report.html" in (failure.text or "") for failure in failures)


def test_xml_and_markdown_bear_any_text_of_a_report(tmp_path: Path) -> None:
    figures = reported(100)
    headline = figures.headline.model_copy(update={"title": 'It <echoes> & "\x00\x1b|"'})
    run = finished(tmp_path, "odd", figures.model_copy(update={"headline": headline}))
    policy = tmp_path / "plain.yaml"
    policy.write_text("verdict: no_echo\n")
    assert gate(run, policy=policy) == 1
    case = ElementTree.parse(tmp_path / "gate.xml").getroot()[0].findall("testcase")[1]
    assert '<echoes> & "\ufffd\ufffd|"' in case[0].attrib["message"]
    assert "<echoes>" not in (tmp_path / "gate.md").read_text()


def test_the_summary_of_a_github_step_gets_the_markdown_after_what_is_there(
    good: Run, bad: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    assert gate(good, "--against", good.url) == 0
    assert summary.read_text() == f"before\n{(tmp_path / 'gate.md').read_text()}\n"
    assert "| mq_aware_0.1 | 0.0 % [0.0, 0.2] | floor 0.4 % | floor + 2 % | pass |" in summary.read_text()
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path))
    capsys.readouterr()
    assert gate(bad, "--against", good.url) == 1, "the answer does not hang on it"
    assert (
        capsys.readouterr().err == f"unecho: GITHUB_STEP_SUMMARY: {tmp_path}: Is a directory: no summary is written\n"
    )


def test_an_audit_and_a_report_of_version_1_are_read_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy = tmp_path / "plain.yaml"
    policy.write_text("smoke: allow\nverdict: not_echo\nmemorization: {mq_0.1: {share_at_most: 0.2}}\n")
    assert gate(finished(tmp_path, "audit", without_floor(kept(2))), policy=policy) == 0
    assert gate(finished(tmp_path, "old", kept(1)), policy=policy) == 1
    assert "verdict: a report of version 1 was judged by another test" in capsys.readouterr().out


def test_a_mistake_is_one_line(good: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    half, nobody = Run(good.store, "half"), Run(good.store, "nobody")
    plan(half, resolve("tiny"))
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("quality: {fidd: {at_most: 1}}\n")
    (tmp_path / "file").touch()
    against = ["--against", good.url]
    for run, options, policy, line in (
        (half, against, SHIPPED, f"{half.url}: not finished (planned, 2 rounds): start it again and it goes on, then"),
        (nobody, against, SHIPPED, f"{nobody.url}: no such run"),
        (good, ["--against", nobody.url], SHIPPED, f"{nobody.url}: no such run"),
        (
            good,
            [],
            SHIPPED,
            f"{SHIPPED}: quality.frechet_pixels.ratio_to_released_at_most: beside which model? ",
        ),
        (good, [], wrong, f"{wrong}: quality.fidd: no such figure; near ones are fid"),
        (good, [*against, "--out", tmp_path / "file"], SHIPPED, f"--out: {tmp_path / 'file' / 'gate.md'}: "),
    ):
        assert gate(run, *options, policy=policy) == 2
        err = capsys.readouterr().err
        assert err.startswith(f"unecho: {line}")
        assert err.count("\n") == 1
    assert not list(tmp_path.glob("gate.*"))


def test_on_s3_a_run_is_judged_as_on_a_directory_and_the_pictures_have_an_address(
    s3_root: str, good: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = finished(s3_root, "good", reported())
    assert gate(run, "--against", run.url, "--out", tmp_path / "s3") == 0
    assert f"report   {s3_root}/runs/good/reports/" in capsys.readouterr().out
    assert gate(good, "--against", good.url, "--out", tmp_path / "here") == 0
    there, here = (Gate.model_validate_json((tmp_path / at / "gate.json").read_bytes()) for at in ("s3", "here"))
    assert there.checks == here.checks
    assert there.report_sha256 == here.report_sha256


def release(run: Run, number: int) -> None:
    """As "dogs"."""
    objects = report_of(run).objects
    ReleasedModel(run.store, "dogs").append(given(run, number).model_copy(update={"objects": objects}))


def test_what_is_released_as_a_name_is_compared_with_though_its_run_was_removed(
    good: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = finished(tmp_path, "old", reported(frechet=1.0))
    assert gate(good, "--model", "dogs") == 0, "nothing is released yet"
    out = capsys.readouterr().out
    assert "frechet_pixels: nothing is released yet to compare it with" in out
    assert f"released {ReleasedModel(good.store, 'dogs').url} (nothing yet)" in out
    assert json.loads((tmp_path / "gate.json").read_bytes())["number"] == 0
    release(good, 1)
    release(old, 2)
    old.store.delete([old.key(Plan, 0)])
    assert gate(good, "--model", "dogs") == 1
    found = Gate.model_validate_json((tmp_path / "gate.json").read_bytes())
    assert (found.number, found.against) == (2, old.url)
    assert [(check.limit, check.bound) for check in found.failed] == [("ratio_to_released_at_most", 2.0)]
    assert main(["gate", good.url, "--policy", str(SHIPPED), "--model", "A"]) == 2

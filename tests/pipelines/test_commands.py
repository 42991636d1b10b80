"""The command line: what a user's mistake prints, and what the commands say."""

import json
from pathlib import Path

import pytest

from tests.runs import tiny
from unecho.pipelines.commands import COMMANDS, main


@pytest.fixture(autouse=True)
def _at_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (
            "run --preset digit",
            "preset: 'digit' is not one of afhq-dog, afhq-dog-paper, cifar10, cifar10-paper, "
            "clipart-text-to-image, digits, digits-memorizing, fashion-memorizing, images, sd21-laion10k, "
            "text-to-image, tiny, tiny-text-to-image",
        ),
        ("run --preset tiny --set agc.skip_ratio=0", "agc.skip_ratio: 0 is not allowed"),
        ("run --preset tiny --set msr.enabled=true --variant agc", "msr.enabled: true needs iet.shards of 2 or more"),
        ("run --preset tiny --name A", "run name: 'A'"),
        (
            "run --preset tiny --set iet.shards=97 --set train.drop_last=false",
            "iet.shards: 97 is more than the 96 training",
        ),
        ("run --preset tiny --set train.batch_size=49", "train.batch_size: 49 is more than a shard's 48 samples"),
        ("run --preset images --set data.source=none-such", "data.source: none-such: no such directory"),
        ("run --preset tiny --set execution.device=cuda --name d", "execution.device: 'cuda' is not available here"),
        ("run --preset tiny --set model.pretrained=none --name p", "model.pretrained: file://"),
        (
            "run --preset tiny --set model.block_out_channels=8,8,8,8,8 --name b",
            "model.block_out_channels: 5 levels need",
        ),
        (
            "run --preset tiny --set audit.images=digits",
            "audit: digits: nothing trains in an audit",
        ),
        ("audit none-such --data digits", "audit: none-such: no such run, directory or prefix"),
        ("audit digits", "data.source: an audit of digits needs the images that the model was trained on"),
        ("plan --preset tiny --set data.held_out=1", "data.held_out: 1 of"),
        ("step train --run ROOT/runs/x --round 0 --index 0", "file://ROOT/runs/x/plans/0.json: missing"),
        ("step train --run ROOT --round 0 --index 0", "run: 'ROOT' is not of the form"),
        ("step begin --run ROOT/runs/x --round -1", "step begin: --round is -1: counted from 0"),
    ],
)
def test_a_mistake_is_one_line_and_exit_status_2(
    line: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = line.replace("ROOT", str(tmp_path)).split()
    assert main(words) == 2
    errors = [text for text in capsys.readouterr().err.splitlines() if text.startswith("unecho: ")]
    assert len(errors) == 1
    assert errors[0].startswith("unecho: " + says.replace("ROOT", str(tmp_path)))


@pytest.mark.parametrize("line", ["", "no-such-command", "step", "step train", "step none --run x"])
def test_a_wrong_command_is_answered_with_its_usage_and_exit_status_2(
    line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(line.split())
    assert ended.value.code == 2
    assert "usage: unecho" in capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS)
def test_help_fits_80_columns(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert max(len(text) for text in capsys.readouterr().out.splitlines()) <= 80


def test_a_run_prints_its_table_its_places_and_the_lines_that_sample(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["run", "--preset", "tiny", "--root", "here"]) == 0
    out = capsys.readouterr().out
    for wanted in (
        "MQ < 0.1 aware",
        "Frechet (pixels)",
        "This is a smoke run",
        "DDIMPipeline.from_pretrained(",
        "num_inference_steps=5)",
    ):
        assert wanted in out
    places = dict(text.split(maxsplit=1) for text in out.splitlines() if text.startswith(("report ", "model ")))
    assert Path(places["report"]).is_file()
    assert (Path(places["model"]) / "model_index.json").is_file()
    exec("\n".join(out.splitlines()[-3:]), {})
    assert Path("sample.png").is_file()
    assert main(["run", "--preset", "tiny", "--root", "here"]) == 0
    assert capsys.readouterr().out.splitlines()[-3:] == out.splitlines()[-3:]


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_run_warns_once_of_what_plan_warns_of_before_it_trains(
    form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")
    assert main(["plan", "--preset", "tiny"]) == 0
    planned = [line for line in capsys.readouterr().out.splitlines() if line.startswith("warning: ")]
    assert len(planned) == 1
    monkeypatch.setenv("UNECHO_LOG", "json" if form == "json" else "")
    assert main(["run", "--preset", "tiny", "--root", "here"]) == 0
    printed = capsys.readouterr()
    if form == "text":
        said = [line for line in printed.out.splitlines() if line.startswith("warning: ")]
    else:
        lines = [json.loads(line) for line in printed.err.splitlines()]
        said = ["warning: " + line["message"] for line in lines if line["level"] == "warning"]
        assert lines.index(next(x for x in lines if x["level"] == "warning")) < next(
            i for i, x in enumerate(lines) if x.get("step") == "train"
        )
    assert said == planned


def test_plan_says_what_a_run_would_do_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["plan", "--preset", "tiny"]) == 0
    out = capsys.readouterr().out
    assert "96 in 2 shards" in out
    assert f"{96 * 2 * tiny('iet.rounds=2').iet.rounds}" in out
    assert (
        "warning: sample.count, data.held_out: with 32 generated and 64 held-out images the verdict clears"
        in " ".join(out.split())
    )
    assert not list(tmp_path.iterdir())


def test_presets_lists_presets_and_every_field(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["presets"]) == 0
    assert "tiny" in capsys.readouterr().out
    assert main(["presets", "--fields"]) == 0
    out = capsys.readouterr().out
    assert "taa.augment_conditioning" in out
    assert "= 2.0" in out

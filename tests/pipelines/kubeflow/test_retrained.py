"""The retraining pipeline on KFP's local runner; its one task runs in this process."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.pipelines.kubeflow.executed import Executed, starts_here
from unecho.components.run import Run
from unecho.components.run.released import ReleasedModel
from unecho.components.store import fetch, open_store
from unecho.pipelines.commands import main
from unecho.pipelines.commands.submit import form_from, parser

pytestmark = pytest.mark.filterwarnings("ignore:Task .* have no effect in the current local runner:UserWarning")
Start = Callable[..., Executed]
POLICY = {"smoke": "allow", "verdict": "not_echo"}


@pytest.fixture
def form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What `unecho submit` would send, for a root on this machine."""
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    policy = tmp_path / "gate.yaml"
    policy.write_text(json.dumps(POLICY))
    words = ["--pipeline", "retrain", "--root", "s3://a/b", "--model", "dogs", "--policy", str(policy)]
    arguments = parser().parse_args([*words, "--preset", "tiny", "--set", "iet.rounds=1", "--set", "threads=1"])
    return form_from(arguments) | {"address_root": str(tmp_path / "root")}


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    path = tmp_path / "retrain.yaml"
    assert main(["compile", "--pipeline", "retrain", "--image", "unecho:test", "-o", str(path)]) == 0
    return path


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a compiled file."""
    with starts_here(tmp_path) as start:
        yield start


def test_each_recurrence_looks_at_the_data_and_only_what_has_changed_is_trained_and_promoted(
    start: Start, pipeline: Path, form: dict[str, Any]
) -> None:
    first = start(pipeline, **form)
    assert first.failure is None, first.log
    assert first.started == [("unecho",)]
    model = ReleasedModel(open_store(form["address_root"]), "dogs")
    released = model.current()
    assert released is not None
    assert (released.number, released.by) == (1, "Kubeflow Pipelines")
    assert first.file("retrain", "outcome").read_text() == "promoted"
    assert first.file("retrain", "folder").read_text() == model.store.address(released.folder)
    assert first.file("retrain", "gate").read_text().startswith("## Gate passed")
    assert first.file("retrain", "report").read_bytes() == fetch(model.store, released.objects["shared.html"])
    shown = first.metadata("retrain", "metrics")
    assert 0 < len(shown) <= 10
    assert shown.items() <= released.headline.items()

    again = start(pipeline, **form)
    assert again.failure is None, again.log
    assert again.file("retrain", "outcome").read_text() == "unchanged"
    assert "nothing is trained" in again.file("retrain", "gate").read_text()
    assert again.file("retrain", "folder").read_text() == first.file("retrain", "folder").read_text()
    assert model.current() == released

    # a recurrence with other settings is another run, under a name of its own; its gate lets nothing pass
    strict = POLICY | {"quality": {"frechet_pixels": {"at_most": 0.000001}}}
    refused = start(pipeline, **form | {"seed": 1, "release_policy": strict})
    assert refused.failure is not None
    assert "The gate is not passed" in refused.log
    assert model.current() == released
    names = {stat.key.split("/")[1] for stat in model.store.list("runs/")}
    assert len(names) == 2
    assert Run(model.store, released.run).name in names


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"release_policy": {"verdict": "maybe"}}, "release_policy: verdict"),
        ({"release_policy": "no_echo"}, 'release_policy: "no_echo" is not a JSON object'),
        ({"release_model": " "}, "release_model: missing"),
        ({"overrides": {"iet": {"round": 3}}}, "iet.round"),
    ],
)
def test_a_wrong_form_fails_before_anything_is_read_or_written(
    wrong: dict[str, Any], says: str, form: dict[str, Any], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    message = {
        "inputs": {"parameterValues": form | wrong},
        "outputs": {"outputFile": str(tmp_path / "out.json"), "parameters": {}, "artifacts": {}},
    }
    assert main(["retrain", "--kubeflow", json.dumps(message)]) == 2
    (line,) = (line for line in capfd.readouterr().err.splitlines() if line.startswith("unecho: "))
    assert line.startswith(f"unecho: {says}")
    assert not (tmp_path / "root").exists()

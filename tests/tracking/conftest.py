"""A finished run that every test of the trackers reads, and what a tracker's failures are told to."""

from pathlib import Path

import pytest

from tests.runs import finish, tiny
from unecho.components.run import Run
from unecho.components.tracking import trackers
from unecho.components.tracking.mlflow_run import ENVIRONMENT
from unecho.components.tracking.patience import Patience


class Notes:
    """Progress that keeps the notes."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def update(self, done: int, total: int, unit: str, **figures: float) -> None:
        pass

    def note(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture(scope="session")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """With event files, and without MLflow."""
    run = Run.at(str(tmp_path_factory.mktemp("tracked")), "a")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        finish(run, tiny("execution.tensorboard=true"))
    return run


@pytest.fixture(autouse=True)
def _no_memory_of_other_tests(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither of failures, nor in the environment."""
    monkeypatch.setattr(trackers, "patience", Patience())
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", *ENVIRONMENT):
        monkeypatch.setenv(name, "")  # so that it is put back, or taken away, at the end
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)

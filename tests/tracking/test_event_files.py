"""What TensorBoard itself reads from a run's event files, and that they are a function of its records."""

import shutil
import sys
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.io_wrapper import GetLogdirSubdirectories

from tests.runs import finish, start, tiny
from tests.tracking.conftest import Notes
from unecho.components.run import Assignment, ModelRecord, ProxyRecord, ReportRecord, Run
from unecho.components.run.gc import Manifests, leftovers
from unecho.components.store.directory import DirectoryStore
from unecho.components.tracking import track
from unecho.pipelines.commands import main

CONFIG = tiny("execution.tensorboard=true")


def folder(run: Run) -> Path:
    assert isinstance(run.store, DirectoryStore)
    return run.store.path(f"{run.prefix}/tracking")


def contents(run: Run) -> dict[str, bytes]:
    return {path.relative_to(folder(run)).as_posix(): path.read_bytes() for path in folder(run).rglob("*.*")}


def shown(run: Run, series: str, tag: str) -> list[tuple[int, float]]:
    """What TensorBoard would plot."""
    read = EventAccumulator(str(folder(run) / series))
    read.Reload()
    return [(scalar.step, scalar.value) for scalar in read.Scalars(tag)]


def test_tensorboard_shows_each_round_s_figures_in_order(tracked: Run) -> None:
    models = [tracked.load(ModelRecord, r) for r in (1, 2, 3)]
    wanted = [(r, pytest.approx(m.figures.loss)) for r, m in enumerate(models) if m.figures]
    assert shown(tracked, "rounds", "train/loss") == wanted
    assert len(wanted) == 3
    moved = [(r, tracked.load(Assignment, r + 1).moved) for r in range(3)]
    assert shown(tracked, "moved", "train/moved") == moved


def test_tensorboard_finds_a_series_for_each_shard(tracked: Run) -> None:
    found = {
        Path(path).relative_to(folder(tracked)).as_posix() for path in GetLogdirSubdirectories(str(folder(tracked)))
    }
    assert found == {"rounds", "moved", "report", "shards/00", "shards/01"}
    proxies = [tracked.load(ProxyRecord, r, 1) for r in range(3)]
    wanted = [(r, pytest.approx(proxy.figures.skips / proxy.figures.visits)) for r, proxy in enumerate(proxies)]
    assert shown(tracked, "shards/01", "train/skip_rate") == wanted


def test_the_report_s_metrics_stand_at_its_model_s_round(tracked: Run) -> None:
    precision = tracked.load(ReportRecord, 3).headline["precision"]
    assert shown(tracked, "report", "evaluate/precision") == [(3, pytest.approx(precision))]


def test_a_reader_at_work_sees_what_comes_later(tracked: Run, tmp_path: Path) -> None:
    """It goes on from file to file, by name, and never back."""
    first, later = sorted((folder(tracked) / "rounds").iterdir())[:2]
    shutil.copy(first, tmp_path)
    read = EventAccumulator(str(tmp_path))
    read.Reload()
    assert [scalar.step for scalar in read.Scalars("train/loss")] == [0]
    shutil.copy(later, tmp_path)
    read.Reload()
    assert [scalar.step for scalar in read.Scalars("train/loss")] == [0, 1]


def test_files_that_are_lost_are_written_again_to_the_byte_when_the_run_starts(tracked: Run, tmp_path: Path) -> None:
    again = copied(tracked, tmp_path)
    before = contents(again)
    shutil.rmtree(folder(again))
    finish(again, CONFIG)
    assert contents(again) == before
    assert len(before) == 3 + 3 + 2 * 3 + 1


def test_switched_on_for_a_run_that_has_ended_it_gives_the_same_files(tracked: Run, tmp_path: Path) -> None:
    later = copied(tracked, tmp_path)
    shutil.rmtree(folder(later))
    finish(later, tiny())
    assert not folder(later).exists()
    finish(later, CONFIG)
    assert contents(later) == contents(tracked)


@pytest.mark.parametrize("series", ["rounds", "moved", "shards/01", "report"])
def test_a_step_killed_before_it_wrote_its_file_has_it_after_the_next_start(series: str, tmp_path: Path) -> None:
    killed = start(tmp_path, "a", CONFIG, ("create", f"tracking/{series}/", 1, False))
    killed.join()
    assert killed.exitcode == -9
    run = Run.at(str(tmp_path), "a")
    assert not (folder(run) / series).exists()
    finish(run, CONFIG)
    names = set(contents(run))
    assert len(names) == 3 + 3 + 2 * 3 + 1
    assert not leftovers(Manifests(run.store).read(), float("inf"))
    as_written = contents(run)
    shutil.rmtree(folder(run))
    finish(run, CONFIG)
    assert contents(run) == as_written


def test_gc_leaves_event_files_alone(tracked: Run) -> None:
    assert not leftovers(Manifests(tracked.store).read(), float("inf"))
    assert len(list(tracked.store.list(f"{tracked.prefix}/tracking/"))) == 13


def test_pull_brings_them_along_and_brings_them_alone(
    tracked: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["pull", tracked.url, str(tmp_path / "all")]) == 0
    assert f"{tmp_path}/all/tracking, 13 files" in capsys.readouterr().out
    assert main(["pull", tracked.url, str(tmp_path / "alone"), "--what", "tracking"]) == 0
    assert [path.name for path in (tmp_path / "alone").iterdir()] == ["tracking"]
    for pulled in ("all", "alone"):
        found = [path for path in (tmp_path / pulled / "tracking").rglob("*") if path.is_file()]
        assert {path.relative_to(tmp_path / pulled / "tracking").as_posix(): path.read_bytes() for path in found} == (
            contents(tracked)
        )


def test_pull_brings_those_of_a_run_that_has_not_ended(tracked: Run, tmp_path: Path) -> None:
    half = copied(tracked, tmp_path)
    half.store.delete([half.key(ReportRecord, 3)])
    assert main(["pull", half.url, str(tmp_path / "out"), "--what", "tracking"]) == 0
    assert (tmp_path / "out/tracking/rounds/events.out.tfevents.000002").exists()
    assert main(["pull", half.url, str(tmp_path / "out")]) == 2


def test_pull_says_how_to_have_some(tracked: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    without = copied(tracked, tmp_path)
    shutil.rmtree(folder(without))
    assert main(["pull", without.url, str(tmp_path / "out"), "--what", "tracking"]) == 2
    assert "it has no event files: start it again with execution.tensorboard=true" in capsys.readouterr().err


def test_ls_and_status_show_where_they_are(
    tracked: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    assert main(["ls", tracked.url]) == 0
    said = capsys.readouterr().out
    assert "tracking, 13 files for TensorBoard" in said
    assert "more: checkpoints" not in said
    assert main(["status", tracked.url]) == 0
    assert f"for TensorBoard: {folder(tracked)}" in capsys.readouterr().out.splitlines()


def test_without_the_package_there_is_one_line_and_the_run_goes_on(
    tracked: Run, tmp_path: Path, notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "unecho.components.tracking.event_files", raising=False)
    monkeypatch.delattr("unecho.components.tracking.event_files", raising=False)
    monkeypatch.setitem(sys.modules, "tensorboard.compat.proto.event_pb2", None)
    track(copied(tracked, tmp_path), tracked.load(ModelRecord, 1), notes)
    assert len(notes.lines) == 1
    assert "pip install 'unecho[tracking]'; the run goes on" in notes.lines[0]


def test_a_store_that_refuses_the_file_does_not_stop_the_run(tracked: Run, tmp_path: Path, notes: Notes) -> None:
    run = copied(tracked, tmp_path)
    shutil.rmtree(folder(run))
    folder(run).write_text("in its place")
    track(run, tracked.load(ModelRecord, 1), notes)
    assert len(notes.lines) == 1
    assert notes.lines[0].startswith("tensorboard: ")


def test_nothing_is_written_where_it_is_off(tmp_path: Path) -> None:
    run = Run.at(str(tmp_path), "a")
    finish(run, tiny("iet.rounds=1"))
    assert not folder(run).exists()


def copied(run: Run, root: Path) -> Run:
    assert isinstance(run.store, DirectoryStore)
    shutil.copytree(run.store.path(""), root / "copy")
    return Run.at(str(root / "copy"), run.name)

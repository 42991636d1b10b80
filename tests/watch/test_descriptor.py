"""The watch of a run with a copy descriptor: what its looks find, and what they keep."""

from pathlib import Path

import pytest

from tests.measures.test_onnx import flatten
from tests.runs import finish, tiny
from unecho.components.assess.probe import kept_floor
from unecho.components.report.figures import load_figures
from unecho.components.run import ReportRecord, Run, WatchRecord
from unecho.components.run.audited import audit_config
from unecho.components.store import open_store


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("root")
    run = Run.at(str(folder), "watched")
    model = flatten(folder / "pixels.onnx", ["n", 1, 8, 8])
    numbers = ("evaluate.descriptor_transform=numbers", "evaluate.descriptor_threshold=0.99")
    finish(run, tiny("watch.every=1", "watch.count=16", f"evaluate.descriptor={model}", *numbers))
    return run


def test_a_look_measures_as_the_report_does_and_keeps_the_descriptors_floor_for_later_ones(watched: Run) -> None:
    looks = [watched.load(WatchRecord, round).look for round in (1, 2)]
    for look in looks:
        assert {"descriptor", "descriptor_floor", "descriptor_second", "similarity_95"} <= set(look.metrics)
    kept, ref = kept_floor(watched, 2)
    assert watched.load(WatchRecord, 2).objects == {"floor.safetensors": ref}
    assert len(kept.likeness) == 64  # held-out images
    figures = load_figures(watched, watched.load(ReportRecord, 3))
    found = next(m for m in figures.memorization if m.measure == "descriptor")
    assert found.decides
    assert found.floor.count == int(kept.likeness.above(0.99).sum())
    assert {look.metrics["descriptor_floor"] for look in looks} == {found.floor.share}


def test_an_audit_of_a_run_that_adds_a_descriptor_decides_by_it_too(tmp_path: Path) -> None:
    run = Run.at(str(tmp_path), "plain")
    finish(run, tiny("iet.rounds=1", "watch.every=0"))
    model = flatten(tmp_path / "pixels.onnx", ["n", 1, 8, 8])
    settings = (f"evaluate.descriptor={model}", "evaluate.descriptor_transform=numbers")
    config = audit_config(open_store(str(tmp_path)), run.url, settings=settings)
    assert config.evaluate.deciding == ("mq_aware_0.1", "second_nearest_aware", "descriptor")
    own = audit_config(open_store(str(tmp_path)), run.url, settings=(*settings, "evaluate.deciding=mq_0.1"))
    assert own.evaluate.deciding == ("mq_0.1",)

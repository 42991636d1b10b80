"""A part of the images that was stopped goes on from its finished batches, and ends with the same bytes."""

from functools import cache
from pathlib import Path

import pytest

from tests.captioned import kept
from tests.runs import finish, tiny
from unecho.components.failure import TERMINATED, Stopped
from unecho.components.progress import Silent
from unecho.components.run import Run, SamplesRecord
from unecho.components.run.gc import Manifests, Reason, leftovers
from unecho.components.sample.step import sample
from unecho.components.steps import run_step

BATCHES = 4
CONFIG = tiny("iet.rounds=1", "iet.local_epochs=1", "sample.count=30", "sample.batch_size=8", "sample.parts=1")
UNFINISHED = "checkpoints/samples/1/0/"


class Killed(BaseException):
    """Nobody's business: what is not in the store by now will not get there."""


class Ending(Silent):
    """Ends the process after so many batches; notes what it was told."""

    def __init__(self, batches: int = 99, error: BaseException | None = None) -> None:
        self.batches, self._left, self._error = 0, batches, error
        self.notes: list[str] = []

    def update(self, done: int, total: int, unit: str, **figures: float) -> None:
        self.batches += 1
        self._left -= 1
        if self._left == 0 and self._error:
            raise self._error

    def note(self, text: str) -> None:
        self.notes.append(text)


@cache
def done() -> Run:
    run = Run.at(str(kept("unfinished")), "one")
    finish(run, CONFIG)
    return run


def unsampled(root: Path, every_s: float) -> Run:
    """The run as it was before its images were made, with another clock."""
    run, whole = Run.at(str(root), "one"), done()
    for stat in whole.store.list(""):
        if "/samples/" not in stat.key and "/reports/" not in stat.key:
            run.store.put(stat.key, whole.store.get(stat.key))
    plan = run.plan()
    config = plan.config.model_copy(
        update={"execution": plan.config.execution.model_copy(update={"checkpoint_every_s": every_s})}
    )
    run.commit(plan.model_copy(update={"revision": 1, "config": config}), 1)
    return run


def assert_whole(run: Run) -> None:
    """The images and the preview are those of the run that was not stopped; nothing is left beside them."""
    assert run.load(SamplesRecord, 1, 0).objects == done().load(SamplesRecord, 1, 0).objects
    assert not list(run.store.list(f"{run.prefix}/checkpoints/"))


def test_on_a_signal_the_finished_batches_are_kept_whatever_the_clock(tmp_path: Path) -> None:
    run = unsampled(tmp_path, every_s=1e9)
    with pytest.raises(Stopped):
        sample(run, 0, Ending(3, Stopped(TERMINATED, "terminated")))
    again = Ending()
    sample(run, 0, again)
    assert again.batches == BATCHES - 3
    assert again.notes == ["part 0: goes on from image 24 of 30 (own)"]
    assert_whole(run)
    ran = run.load(SamplesRecord, 1, 0).ran_with
    assert ran is not None
    assert (ran.precision, ran.compiled) == ("float32", False)


def test_a_part_that_is_killed_goes_on_from_what_the_clock_has_kept(tmp_path: Path) -> None:
    run = unsampled(tmp_path, every_s=1e-9)
    for before in (1, 2):  # the batch that is told of is not kept yet
        with pytest.raises(Killed):
            sample(run, 0, Ending(2, Killed()))
        assert len(list(run.store.list(f"{run.prefix}/{UNFINISHED}own/"))) == 2 * before
    again = Ending()
    run_step("sample", run, index=0, progress=again)
    assert again.batches == BATCHES - 2
    assert_whole(run)


def test_a_part_without_a_tick_of_the_clock_writes_nothing_but_its_record(tmp_path: Path) -> None:
    run = unsampled(tmp_path, every_s=1e9)
    with pytest.raises(Killed):
        sample(run, 0, Ending(3, Killed()))
    assert not list(run.store.list(f"{run.prefix}/checkpoints/"))


def test_what_does_not_read_well_is_told_and_made_anew(tmp_path: Path) -> None:
    run = unsampled(tmp_path, every_s=1e9)
    with pytest.raises(Stopped):
        sample(run, 0, Ending(2, Stopped(TERMINATED, "terminated")))
    (images,) = (s.key for s in run.store.list(f"{run.prefix}/{UNFINISHED}") if s.key.endswith(".safetensors"))
    data = bytearray(run.store.get(images))
    data[-1] ^= 1
    run.store.put(images, bytes(data))
    again = Ending()
    sample(run, 0, again)
    assert again.batches == BATCHES
    (note,) = again.notes
    assert "own/0000000000-0000000016/checkpoint.json left aside: " in note
    assert images in note
    assert_whole(run)


def test_gc_leaves_it_alone_until_the_part_is_committed_or_given_up(tmp_path: Path) -> None:
    run = unsampled(tmp_path, every_s=1e-9)
    with pytest.raises(Killed):
        sample(run, 0, Ending(3, Killed()))
    kept = {stat.key: run.store.get(stat.key) for stat in run.store.list(f"{run.prefix}/{UNFINISHED}")}
    assert len(kept) == 4

    def found(*, abandoned: bool = False) -> dict[str, Reason]:
        listed = leftovers(Manifests(run.store).read(), float("inf"), abandoned=abandoned)
        return {one.stat.key: one.why for one in listed if one.stat.key in kept}

    assert found() == {}
    assert found(abandoned=True) == dict.fromkeys(kept, Reason.ABANDONED)
    sample(run, 0, Silent())
    for key, data in kept.items():  # killed between the commit and the removal
        run.store.put(key, data)
    assert found() == dict.fromkeys(kept, Reason.ENDED)
    run_step("sample", run, index=0)
    assert_whole(run)

"""Shares of a source that are packed beside each other end in the data set that one process makes."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unecho.components.config import resolve
from unecho.components.data import Dataset
from unecho.components.data.packing import Share
from unecho.components.failure import Fatal
from unecho.components.kubeflow_task.outputs import given
from unecho.components.plan.step import plan
from unecho.components.prepare.step import prepare
from unecho.components.progress import Silent
from unecho.components.run import DatasetRecord, PackRecord, Run
from unecho.components.run.audited import audit_config
from unecho.components.steps import run_step
from unecho.components.store.base import Buffer
from unecho.components.store.directory import DirectoryStore

ALL = ("data.resolution=8", "data.held_out=0.2", "data.chunk_mib=0.0003")
"""Four rows a chunk: 18 images are five parts."""
LIMITED = ("data.resolution=8", "data.train_limit=9", "data.chunk_mib=0.0003")
SMALL_STAGE = "unecho.components.data.prepare._STAGED_BYTES"
KINDS = pytest.mark.parametrize("settings", [ALL, LIMITED], ids=["all", "limited"])


@pytest.fixture(autouse=True)
def _staged_parts_are_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SMALL_STAGE, 6 * 64)  # six rows: three parts


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return tree(tmp_path / "source", 18, 0)


def tree(folder: Path, count: int, seed: int) -> Path:
    """Pictures of noise in two folders."""
    for number, picture in enumerate(np.random.default_rng(seed).integers(0, 256, (count, 8, 8), dtype=np.uint8)):
        path = folder / "ab"[number * 2 // count] / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path)
    return folder


def planned(root: Path, source: Path, settings: Sequence[str], parts: int = 1, name: str = "run") -> Run:
    run = Run(DirectoryStore(root), name)
    all = (f"data.source={source}", "msr.enabled=false", *settings, f"execution.prepare_parts={parts}")
    plan(run, resolve(settings=all))
    return run


def packed(run: Run, *shares: int) -> list[PackRecord]:
    records = [run_step("pack", run, None, k) for k in shares]
    assert all(isinstance(record, PackRecord) for record in records)
    return [record for record in records if isinstance(record, PackRecord)]


def contents(root: Path) -> dict[str, bytes]:
    """All that data sets consist of."""
    files = [path for path in (root / "datasets").rglob("*") if path.is_file()]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


def test_shares_are_contiguous_cover_all_parts_and_differ_by_one_at_most() -> None:
    parts = [range(k, k + 1) for k in range(10)]
    shares = [[part.start for part in Share(k, 4).among(parts)] for k in range(4)]
    assert shares == [[0, 1], [2, 3, 4], [5, 6], [7, 8, 9]]  # 10 * 1 // 4 = 2, 10 * 2 // 4 = 5, 10 * 3 // 4 = 7
    assert [len(Share(k, 3).among(parts[:2])) for k in range(3)] == [0, 1, 1]


@KINDS
@pytest.mark.parametrize("shares", [(0, 1), (2, 0, 1), (6, 5, 4, 3, 2, 1, 0)], ids=len)
def test_the_data_set_is_the_same_to_the_byte_whatever_the_number_and_the_order_of_shares(
    tmp_path: Path, source: Path, settings: tuple[str, ...], shares: tuple[int, ...]
) -> None:
    whole = prepare(planned(tmp_path / "whole", source, settings), Silent())
    run = planned(tmp_path / "shared", source, settings, len(shares))
    records = packed(run, *shares)
    assert sum(record.images for record in records) == 18
    assert prepare(run, Silent()).digest == whole.digest
    assert contents(tmp_path / "shared") == contents(tmp_path / "whole")


@KINDS
def test_what_shares_have_packed_prepare_does_not_look_at_and_what_they_have_not_it_packs(
    tmp_path: Path, source: Path, settings: tuple[str, ...]
) -> None:
    whole = prepare(planned(tmp_path / "whole", source, settings), Silent())
    run = planned(tmp_path / "shared", source, settings, 2)
    (first,) = packed(run, 0)
    assert first.images == (8 if settings == ALL else 6)  # two parts of five, one of three
    for path in sorted(source.rglob("*.png"))[: first.images]:  # spoilt behind its back
        stat = path.stat()
        path.write_bytes(b"x" * stat.st_size)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert prepare(run, Silent()).digest == whole.digest


class Lost(DirectoryStore):
    """Out of reach from one write on."""

    def __init__(self, root: Path, at: int) -> None:
        super().__init__(root)
        self.left = at

    def put(self, key: str, data: Buffer | Path) -> None:
        self._count()
        super().put(key, data)

    def create(self, key: str, data: Buffer) -> bool:
        self._count()
        return super().create(key, data)

    def _count(self) -> None:
        self.left -= 1
        if self.left <= 0:
            raise OSError("the store is out of reach")


@KINDS
def test_lost_before_any_write_a_share_goes_on_and_ends_with_the_same_bytes(
    tmp_path: Path, source: Path, settings: tuple[str, ...]
) -> None:
    prepare(planned(tmp_path / "whole", source, settings), Silent())
    for at in range(1, 100):
        root = tmp_path / f"lost-{at}"
        run = planned(root, source, settings, 2)
        store = Lost(root, at)
        try:
            packed(Run(store, run.name), 1)
        except OSError:
            assert run.find(PackRecord, 2, 1) is None
        if store.left > 0:
            break  # it has fewer writes than that
        packed(run, 1, 0)
        prepare(run, Silent())
        assert contents(root) == contents(tmp_path / "whole")
    assert at > 4


def test_a_bad_image_is_named_by_the_share_that_has_it_and_by_no_other(tmp_path: Path, source: Path) -> None:
    bad = source / "b" / "17.png"
    bad.write_bytes(b"no image")
    run = planned(tmp_path / "root", source, ALL, 2)
    packed(run, 0)
    with pytest.raises(Fatal, match=r"b/17\.png: not an image of a supported format, .*set data\.on_bad_image=skip"):
        packed(run, 1)
    skipping = planned(tmp_path / "skipping", source, (*ALL, "data.on_bad_image=skip"), 2)
    assert [record.images for record in packed(skipping, 0, 1)] == [8, 9]
    record = prepare(skipping, Silent())
    assert record.samples == 17
    assert record.notes[0].startswith("1 bad images were skipped: b/17.png: not an image")


def test_a_source_that_is_prepared_already_is_not_packed_again(tmp_path: Path, source: Path) -> None:
    prepare(planned(tmp_path / "root", source, ALL), Silent())
    before = contents(tmp_path / "root")
    (record,) = packed(planned(tmp_path / "root", source, ALL, 2, "again"), 1)
    assert record.images == 0
    assert contents(tmp_path / "root") == before


def test_another_number_of_shares_in_a_later_try_is_another_work(tmp_path: Path, source: Path) -> None:
    run = planned(tmp_path / "root", source, ALL, 2)
    packed(run, 0)
    again = planned(tmp_path / "root", source, ALL, 3)
    assert again.find(PackRecord, 3, 0) is None
    assert [record.images for record in packed(again, 0, 1, 2)] == [4, 8, 6]  # parts 0; 1 and 2; 3 and the two left
    with pytest.raises(Fatal, match=r"--index: 3: execution\.prepare_parts is 3: choose at most 2"):
        packed(again, 3)


def test_of_an_audit_each_share_packs_its_part_of_every_source(tmp_path: Path, source: Path) -> None:
    held_out, made = tree(tmp_path / "held-out", 12, 1), tree(tmp_path / "made", 12, 2)
    small = ("data.chunk_mib=0.0003", "evaluate.neighbours=5", "evaluate.precision_recall_neighbours=3")

    def audited(root: Path, parts: int) -> Run:
        run = Run(DirectoryStore(root), "audit")
        settings = (*small, f"execution.prepare_parts={parts}")
        plan(run, audit_config(run.store, str(made), str(source), str(held_out), None, settings=settings))
        return run

    whole, shared = audited(tmp_path / "whole", 1), audited(tmp_path / "shared", 2)
    assert [record.images for record in packed(shared, 0, 1)] == [8 + 4 + 4, 10 + 8 + 8]
    ours, theirs = prepare(shared, Silent()), prepare(whole, Silent())
    assert ours.model_copy(update={"ran_with": None}) == theirs.model_copy(update={"ran_with": None})
    assert contents(tmp_path / "shared") == contents(tmp_path / "whole")
    assert Dataset.open(shared.store, ours.generated_set or "").count == 12


def test_under_kubeflow_the_shares_that_are_left_are_asked_for_and_none_once_there_is_a_data_set(
    tmp_path: Path, source: Path
) -> None:
    run = planned(tmp_path / "root", source, ALL, 3)
    assert given("plan", run, run.plan())["packs"] == [0, 1, 2]
    packed(run, 1)
    assert given("plan", run, run.plan())["packs"] == [0, 2]
    prepare(run, Silent())
    assert run.find(DatasetRecord)
    assert given("plan", run, run.plan())["packs"] == []
    alone = planned(tmp_path / "root", source, ALL, 1, "alone")
    assert given("plan", alone, alone.plan())["packs"] == []


def test_processes_that_make_whole_parts_and_such_that_share_them_make_the_same_chunks(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(planned(tmp_path / "whole", source, ALL), Silent())
    monkeypatch.setattr("unecho.components.data.decoding.IN_PROCESS_BYTES", 0)
    for each in (1, 99):  # five parts: with two processes each has several, or too few
        monkeypatch.setattr("unecho.components.data.packing._PARTS_EACH", each)
        run = planned(tmp_path / f"each-{each}", source, (*ALL, "execution.workers=2"))
        prepare(run, Silent())
        assert contents(tmp_path / f"each-{each}") == contents(tmp_path / "whole")
    (source / "a" / "03.png").write_bytes(b"no image")
    monkeypatch.setattr("unecho.components.data.packing._PARTS_EACH", 1)
    with pytest.raises(Fatal, match=r"source/a/03\.png: not an image .* or set data\.on_bad_image=skip"):
        prepare(planned(tmp_path / "bad", source, (*ALL, "execution.workers=2")), Silent())

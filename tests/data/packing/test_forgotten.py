"""Deletion requests: what prepare leaves out, and what that leaves."""

import io
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.data.packing.conftest import Prepare, Prepared
from unecho.components.config import resolve
from unecho.components.data import find_manifest
from unecho.components.data.dataset import Dataset
from unecho.components.data.forgotten import Asked, Numbered
from unecho.components.data.prepare import packed
from unecho.components.data.recording import asked_image, shape_of
from unecho.components.failure import Fatal
from unecho.components.progress import Silent
from unecho.components.run.forgotten import Request, left_out_of, newest_request, record_request, requests_through
from unecho.components.store import Store
from unecho.components.store.directory import DirectoryStore

AT8 = ("data.resolution=8", "data.held_out=0.25")
Tree = Callable[..., Path]


def ask(store: Store, *lines: Asked | str) -> int:
    """Record a request, of names where texts are given."""
    asked = [Asked(text=line) if isinstance(line, str) else line for line in lines]
    request = Request(number=0, by="ann", at="2026-11-26T12:00:00+00:00", code="1", attempt="0", lines=asked)
    return record_request(store, request).number


def png(pixels: np.ndarray, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, options.pop("format", "PNG"), **options)
    return file.getvalue()


def named(count: int, images: list[np.ndarray], folders: str = "ab") -> dict[str, Any]:
    return {f"{folders[i % len(folders)]}/{i:02}.png": images[i] for i in range(count)}


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path / "root")


def what_left(prepared: Prepared) -> list[tuple[str, int, str]]:
    return [(one.name, one.request, one.by) for one in left_out_of(prepared.run, prepared.record)]


def test_the_data_set_is_the_one_that_the_source_would_give_without_the_samples(
    prepare: Prepare, tree: Tree, noise: Callable[..., list[np.ndarray]], store: DirectoryStore
) -> None:
    """By name, by address, by bytes and by pixels; of the folder c only its one image was there, and the name goes."""
    images = noise(16)
    files = named(12, images) | {"c/one.png": images[12], "d/copy.png": images[3]}
    source = tree(files)
    gone = ["a/00.png", "b/01.png", "a/02.png", "b/03.png", "d/copy.png", "c/one.png"]
    fewer = tree({name: content for name, content in files.items() if name not in gone}, "fewer")
    ask(store, "a/00.png", f"{source}/b/01.png")
    ask(store, asked_image("x.png", (source / "a/02.png").read_bytes(), []), "b/03.png", f"file://{source}/c/one.png")

    before = prepare(source, *AT8, root="other")
    assert before.dataset.count == 14
    after, without = prepare(source, *AT8), prepare(fewer, *AT8, root="other")
    assert after.dataset.digest == without.dataset.digest
    assert after.names() == without.names() == sorted(set(files) - set(gone))
    assert after.dataset.label_names == without.dataset.label_names == ["a", "b"]
    assert what_left(after) == [
        ("a/00.png", 1, "name"),
        ("a/02.png", 2, "file"),
        ("b/01.png", 1, "name"),
        ("b/03.png", 2, "name"),
        ("c/one.png", 2, "name"),
        ("d/copy.png", 2, "pixels"),
    ]
    assert after.record.forgotten == {"name": 4, "file": 1, "pixels": 1}
    assert after.record.notes[-1] == "left out by deletion requests 1 to 2: 6 samples"


def test_no_object_of_the_root_holds_pixels_of_what_was_left_out(
    prepare: Prepare, tree: Tree, noise: Callable[..., list[np.ndarray]], store: DirectoryStore
) -> None:
    images = noise(12)
    source = tree(named(12, images))
    ask(store, "b/05.png")
    prepare(source, *AT8)
    found = {stat.key: store.get(stat.key) for stat in store.list("")}
    assert any(images[4].tobytes() in data for data in found.values())
    assert not any(images[5].tobytes() in data for data in found.values())


def test_what_a_command_packs_without_a_run_leaves_no_pixels_of_what_was_left_out(
    tree: Tree, noise: Callable[..., list[np.ndarray]], store: DirectoryStore
) -> None:
    """As classifiers, descriptors and base models are trained."""
    images = noise(12)
    data = resolve(settings=(f"data.source={tree(named(12, images))}", *AT8)).data
    packed(store, data, 1, Silent(), [Numbered(1, Asked(text="b/05.png"))])
    assert not any(images[5].tobytes() in store.get(stat.key) for stat in store.list(""))
    assert list(store.list("datasets/progress/")) == []


def test_an_image_is_found_by_its_pixels_whatever_its_file_is(
    prepare: Prepare, tree: Tree, noise: Callable[..., list[np.ndarray]], store: DirectoryStore
) -> None:
    """Given as BMP, there as PNG, twice the size of the data set's images and not square."""
    images = [np.ascontiguousarray(image[:, :18]) for image in noise(12, 3, 24)]
    source = tree(named(12, images))
    given = png(images[7], format="BMP")
    ask(store, asked_image("given.bmp", given, [])), ask(store, "b/01.png")
    at32 = prepare(source, "data.resolution=32", "data.held_out=0.25", "data.channels=3")
    assert what_left(at32) == [("b/01.png", 2, "name"), ("b/07.png", 1, "pixels")]


def test_an_image_that_was_not_recorded_in_the_shape_of_the_data_set_is_told(
    prepare: Prepare, tree: Tree, noise: Callable[..., list[np.ndarray]], store: DirectoryStore
) -> None:
    images = noise(12, 1, 24)
    source = tree(named(12, images))
    lost = png(images[7], format="BMP")
    ask(store, asked_image("lost.bmp", lost, []))
    at12 = prepare(source, "data.resolution=12", "data.held_out=0.25")
    assert what_left(at12) == []
    assert at12.record.notes[-1].startswith(
        "1 image to forget recorded in other shapes than 1x12x12: looked for by name and by file, not by pixels"
    )
    ask(store, asked_image("lost.bmp", lost, [shape_of(at12.dataset.manifest)]))
    again = prepare(source, "data.resolution=12", "data.held_out=0.25")
    assert what_left(again) == [("b/07.png", 2, "pixels")]
    assert "other shapes" not in " ".join(again.record.notes)


def test_requests_that_ask_for_nothing_of_the_source_leave_the_data_set_as_it_was_and_decode_nothing(
    prepare: Prepare,
    tree: Tree,
    noise: Callable[..., list[np.ndarray]],
    store: DirectoryStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = tree(named(12, noise(12)))
    before = prepare(source, *AT8)
    ask(store, "b/01.png")
    fewer = prepare(source, *AT8)
    assert fewer.dataset.count == 11
    ask(store, "of/another.png", asked_image("y.png", png(noise(1, seed=9)[0]), []))
    monkeypatch.setattr("unecho.components.data.prepare.pack_parts", lambda *a: pytest.fail("decoded"))
    later = prepare(source, *AT8)
    assert later.dataset.digest == fewer.dataset.digest != before.dataset.digest
    assert what_left(later) == what_left(fewer) == [("b/01.png", 1, "name")]
    assert later.run.plan().forgotten == 2


def test_a_root_with_requests_for_other_sources_gives_the_digest_of_one_without(
    prepare: Prepare, tree: Tree, noise: Callable[..., list[np.ndarray]], store: DirectoryStore
) -> None:
    """Chunks too, so that what was there is not written once more."""
    source = tree(named(12, noise(12)))
    ask(store, "of/another.png")
    here, there = prepare(source, *AT8), prepare(source, *AT8, root="other")
    assert here.dataset.digest == there.dataset.digest
    assert here.dataset.manifest.chunks == there.dataset.manifest.chunks
    assert here.record.notes[-1] == "left out by deletion request 1: 0 samples"


def test_a_later_request_is_not_overlooked_where_the_source_is_prepared_already(
    prepare: Prepare, tree: Tree, noise: Callable[..., list[np.ndarray]], store: DirectoryStore
) -> None:
    """By name, by bytes and by pixels, each after a data set that holds the sample; in limited ones as well."""
    images = noise(20)
    source = tree(named(20, images))
    for limits in ((), ("data.train_limit=9",)):
        assert prepare(source, *AT8, *limits).dataset.count > 9
    for line, name in [
        (Asked(text="a/00.png"), "a/00.png"),
        (asked_image("q", (source / "b/01.png").read_bytes(), []).model_copy(update={"pixels": []}), "b/01.png"),
        (asked_image("q", png(images[2], format="BMP"), []), "a/02.png"),
    ]:
        number = ask(store, line)
        for limits in ((), ("data.train_limit=9",)):
            prepared = prepare(source, *AT8, *limits)
            assert name not in prepared.names()
            assert (name, number) in [(found, request) for found, request, _ in what_left(prepared)]


def test_an_address_is_not_overlooked_where_a_copy_that_lies_elsewhere_is_prepared_already(
    prepare: Prepare, tree: Tree, noise: Callable[..., list[np.ndarray]], store: DirectoryStore
) -> None:
    """The copy's files have the same names, sizes and times; nothing but the address was there to record."""
    copy = tree(named(12, noise(12)))
    source = Path(shutil.copytree(copy, copy.with_name("there")))
    ask(store, f"{source}/b/01.png")
    assert prepare(copy, *AT8).dataset.count == 12
    later = prepare(source, *AT8)
    assert (later.dataset.count, what_left(later)) == (11, [("b/01.png", 1, "name")])
    assert prepare(copy, *AT8).dataset.count == 12


def test_near_duplicates_of_what_was_left_out_stay_and_are_named(
    prepare: Prepare, tree: Tree, noise: Callable[..., list[np.ndarray]], store: DirectoryStore
) -> None:
    images = noise(12)
    files = named(12, images)
    files["b/near.png"] = np.clip(images[3].astype(int) + 2, 0, 255).astype(np.uint8)
    ask(store, "b/03.png")
    prepared = prepare(tree(files), *AT8)
    assert "b/near.png" in prepared.names()
    assert prepared.record.notes[-1] == (
        "near duplicates of forgotten samples, which stay: 1 sample: b/near.png: name them to unecho forget"
    )


def test_captions_of_what_was_left_out_go_with_it(
    prepare: Prepare, tree: Tree, noise: Callable[..., list[np.ndarray]], store: DirectoryStore
) -> None:
    files = named(12, noise(12), "a")
    texts = {name.replace(".png", ".txt"): f"caption of {name}" for name in files}
    ask(store, "a/04.png")
    prepared = prepare(tree(files | texts), *AT8)
    captions = {caption for row in range(prepared.dataset.count) for caption in prepared.dataset.captions(row)}
    assert captions == set(texts.values()) - {"caption of a/04.png"}
    assert prepared.dataset.manifest.captions == 11


def test_records_of_a_file_are_forgotten_by_number_and_their_equals_by_pixels(
    prepare: Prepare, store: DirectoryStore
) -> None:
    ask(store, "digits#17", "digits#1796")
    prepared = prepare("digits", "data.held_out=0.1")
    assert what_left(prepared) == [("digits#17", 1, "name"), ("digits#1796", 1, "name")]
    assert prepared.dataset.count == 1795


def test_samples_of_tar_shards_are_forgotten_by_the_name_of_their_member_and_by_its_bytes(
    prepare: Prepare, tmp_path: Path, noise: Callable[..., list[np.ndarray]], store: DirectoryStore
) -> None:
    (tmp_path / "shards").mkdir()
    files = {f"{number:03}.png": png(image) for number, image in enumerate(noise(12))}
    with tarfile.open(tmp_path / "shards" / "0.tar", "w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    ask(store, "0.tar/004.png", asked_image("q", files["007.png"], []).model_copy(update={"pixels": []}))
    prepared = prepare(tmp_path / "shards", *AT8)
    assert what_left(prepared) == [("0.tar/004.png", 1, "name"), ("0.tar/007.png", 1, "file")]
    assert prepared.dataset.count == 10


def test_an_unreadable_image_that_is_to_be_forgotten_is_named_nowhere_among_the_skipped(
    prepare: Prepare, tree: Tree, noise: Callable[..., list[np.ndarray]], store: DirectoryStore
) -> None:
    files = named(12, noise(12)) | {"a/bad.png": b"nothing", "b/bad.png": b"nothing else"}
    ask(store, "b/bad.png")
    prepared = prepare(tree(files), *AT8, "data.on_bad_image=skip")
    assert [one.name for one in prepared.dataset.manifest.skipped] == ["a/bad.png"]
    assert what_left(prepared) == [("b/bad.png", 1, "name")]


def test_where_everything_is_to_be_forgotten_there_is_nothing_to_train_on(
    prepare: Prepare, tree: Tree, noise: Callable[..., list[np.ndarray]], store: DirectoryStore
) -> None:
    files = named(3, noise(3))
    ask(store, *files)
    with pytest.raises(Fatal, match="all of its images are to be forgotten: nothing to train on"):
        prepare(tree(files), *AT8)


def test_of_two_requests_at_once_none_is_lost(store: DirectoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other one is recorded between the look for a free number and the write."""
    create, others = DirectoryStore.create, iter([["other.png"], []])

    def beaten(self: DirectoryStore, key: str, data: bytes) -> bool:
        if (names := next(others, None)) is not None and names:
            monkeypatch.setattr(DirectoryStore, "create", create)
            ask(store, *names)
        return create(self, key, data)

    monkeypatch.setattr(DirectoryStore, "create", beaten)
    assert ask(store, "mine.png") == 2
    recorded = [[line.text for line in request.lines] for request in requests_through(store, newest_request(store))]
    assert recorded == [["other.png"], ["mine.png"]]


def test_a_request_that_was_removed_is_one_line(
    prepare: Prepare, tree: Tree, noise: Callable[..., list[np.ndarray]], store: DirectoryStore
) -> None:
    ask(store, "a"), ask(store, "b")
    store.delete(["forgotten/000001.json"])
    with pytest.raises(Fatal, match=r"forgotten/000001\.json: missing: requests are numbered without a gap"):
        prepare(tree(named(3, noise(3))), *AT8)


def test_the_data_set_before_a_request_stands_for_whoever_was_trained_on_it(
    prepare: Prepare, tree: Tree, noise: Callable[..., list[np.ndarray]], store: DirectoryStore
) -> None:
    source = tree(named(12, noise(12)))
    before = prepare(source, *AT8)
    ask(store, "b/01.png")
    prepare(source, *AT8)
    assert find_manifest(store, before.dataset.digest) == before.dataset.manifest
    assert "b/01.png" in [Dataset.open(store, before.dataset.digest).name(row) for row in range(12)]

"""What of a source counts, and what is passed over and told: links, devices, hidden files, Unecho's own data."""

import errno
import os
import socket
from pathlib import Path

import pytest

from unecho.components.config.fields import Data
from unecho.components.data.prepare import survey
from unecho.components.failure import Fatal
from unecho.components.plan.step import plan
from unecho.components.store import open_store
from unecho.components.store.directory import DirectoryStore

ALL = ("data.held_out=0", "data.resolution=8")


def images(noise, *names: str, seed: int = 0) -> dict[str, object]:
    return dict(zip(names, noise(len(names), seed=seed), strict=True))


class TestLinks:
    @pytest.mark.parametrize(
        ("links", "told"),
        [
            ({"img/up": ".."}, "1 links to folders that are read already (img/up)"),
            ({"a": ".", "b": "."}, "2 links to folders that are read already (a, b)"),
            ({"a": "img", "img/b": "../img"}, "2 links to folders that are read already (a, img/b)"),
            ({"img/x.png": "x.png"}, "1 links that lead nowhere (img/x.png)"),
            ({"gone.png": "/nowhere/1.png", "x": "/nowhere"}, "2 links that lead nowhere (gone.png, x)"),
        ],
    )
    def test_that_lead_in_circles_or_nowhere_end_and_are_counted(self, prepare, tree, noise, links, told) -> None:
        source = tree(images(noise, "img/0.png", "img/1.png"))
        for link, target in links.items():
            (source / link).symlink_to(target)
        done = prepare(source, *ALL)
        assert done.names() == ["img/0.png", "img/1.png"]
        assert done.record.notes == [f"passed over: {told}"]

    def test_that_lead_out_of_the_source_are_followed_once(self, prepare, tree, noise) -> None:
        elsewhere = tree(images(noise, "deep/0.png"), "elsewhere")
        source = tree(images(noise, "1.png", seed=1))
        (source / "a").symlink_to(elsewhere)
        (source / "b").symlink_to(elsewhere)
        assert prepare(source, *ALL).names() == ["1.png", "a/deep/0.png"]

    def test_alone_are_no_images_and_the_line_says_why(self, prepare, tree) -> None:
        source = tree({}) / "source"
        source.mkdir(parents=True)
        (source / "0.png").symlink_to("/nowhere")
        with pytest.raises(Fatal, match=r"no images there \(found nothing; passed over: 1 links that lead nowhere"):
            prepare(source, *ALL)


def test_pipes_and_sockets_are_passed_over_and_nobody_waits_for_them(prepare, tree, noise) -> None:
    source = tree(images(noise, "0.png"))
    os.mkfifo(source / "1.png")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(source / "2.png"))
        done = prepare(source, *ALL)
    assert done.names() == ["0.png"]
    assert done.record.notes == ["passed over: 2 pipes, sockets and devices (1.png, 2.png)"]


def test_a_folder_that_cannot_be_read_is_an_error_that_names_it(prepare, tree, noise, monkeypatch) -> None:
    source = tree(images(noise, "a/0.png", "b/1.png"))
    scandir = os.scandir

    def refuse(path):
        if Path(path).name == "b":  # root may read all, so the system is made to refuse
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(Fatal, match=r"source/b: permission denied$"):
        prepare(source, *ALL)


def test_class_folders_whose_names_are_not_utf8_are_labels(prepare, tree, noise) -> None:
    source = tree(images(noise, "plain/0.png", "other/1.png"))
    os.rename(os.fsencode(source / "other"), os.fsencode(source) + b"/\xc9pagneul")
    done = prepare(source, *ALL)
    assert done.dataset.label_names == ["plain", "\\xc9pagneul"]
    assert done.names() == ["plain/0.png", "\\xc9pagneul/1.png"]


def test_a_source_whose_own_name_is_not_utf8_is_told_and_taken_as_an_address(prepare, tree, noise, tmp_path) -> None:
    os.rename(tree(images(noise, "0.png")), os.fsencode(tmp_path) + b"/\xc9")
    with pytest.raises(Fatal, match=r"^data\.source: '.*/\\xc9' is not UTF-8: write it as an address"):
        prepare(os.fsdecode(os.fsencode(tmp_path) + b"/\xc9"), *ALL)
    assert prepare(f"file://{tmp_path}/%C9", *ALL).names() == ["0.png"]


def test_a_home_directory_is_expanded(prepare, tree, noise, monkeypatch) -> None:
    source = tree(images(noise, "0.png"))
    monkeypatch.setenv("HOME", str(source.parent))
    assert prepare("~/source", *ALL).names() == ["0.png"]
    with pytest.raises(Fatal, match="~nobody-of-that-name/x: no home directory of that name"):
        prepare("~nobody-of-that-name/x", *ALL)


JUNK = (
    ".DS_Store",
    "._0.png",
    ".thumbnails/0.png",
    "__MACOSX/0.png",
    "a/@eaDir/0.png/THUMB.png",
    "#recycle/0.png",
    "$RECYCLE.BIN/S-1/0.png",
    "lost+found/0.png",
    "Thumbs.db",
    "a/.ipynb_checkpoints/0.png",
)


@pytest.mark.parametrize("where", ["directory", "bucket"])
def test_what_systems_and_tools_leave_behind_is_no_image_on_any_store(prepare, tree, noise, where, request) -> None:
    files = images(noise, "0.png", "a/1.png") | dict.fromkeys(JUNK, b"x")
    source: Path | str = tree(files)
    if where == "bucket":
        url = f"{request.getfixturevalue('s3_root')}/photos"
        for path in Path(source).rglob("*"):
            if path.is_file():
                open_store(url).put(path.relative_to(source).as_posix(), path)
        source = url
    done = prepare(source, *ALL)
    assert done.names() == ["0.png", "a/1.png"]
    assert done.record.notes == [
        "passed over: 3 hidden or system files (.DS_Store, ._0.png, Thumbs.db); "
        "7 hidden or system folders (#recycle, $RECYCLE.BIN, .thumbnails, ...)"
    ]


class TestOwnData:
    """The root of a run inside, above, or in the place of the source."""

    def runs_write(self, root: Path, picture: bytes) -> None:
        run = root / "runs" / "first"
        for key in ("plans/0.json", "proxies/0/0/1234/preview.png", "samples/1/0/5678/preview.png"):
            (run / key).parent.mkdir(parents=True, exist_ok=True)
            (run / key).write_bytes(picture)

    @pytest.fixture
    def photos(self, tree, noise) -> Path:
        return tree(images(noise, "cat/0.png", "dog/1.png"), "photos")

    def test_of_the_default_root_never_becomes_an_image_and_the_digest_stays(
        self, prepare, photos, monkeypatch, noise, tmp_path
    ) -> None:
        monkeypatch.chdir(photos)
        store = DirectoryStore(Path("unecho-runs"))
        first = prepare(".", *ALL, store=store)
        self.runs_write(photos / "unecho-runs", (photos / "cat/0.png").read_bytes())
        second = prepare(".", *ALL, "seed=1", store=store)
        assert first.names() == second.names() == ["cat/0.png", "dog/1.png"]
        assert first.record.digest == second.record.digest
        assert first.dataset.label_names == ["cat", "dog"]
        inside = f"the root file://{photos}/unecho-runs lies inside the source file://{photos}"
        assert first.record.notes == [
            f"{inside}: nothing below the root is read as an image",
            "passed over: 1 folders of Unecho's own data (unecho-runs)",
        ]
        # the root of others, and a look without a root
        assert prepare(".", *ALL).names() == first.names()
        assert survey(Data(source=".", held_out=0, layout="images")).train_samples == 2

    def test_of_a_root_that_is_the_source_is_passed_over(self, prepare, photos) -> None:
        self.runs_write(photos, (photos / "cat/0.png").read_bytes())
        done = prepare(photos, *ALL, store=DirectoryStore(photos))
        assert done.names() == ["cat/0.png", "dog/1.png"]
        assert f"the source file://{photos} is the root file://{photos}" in done.record.notes[0]
        assert prepare(photos, *ALL).names() == ["cat/0.png", "dog/1.png"]

    def test_is_passed_over_by_way_of_a_link_too(self, prepare, photos, tmp_path) -> None:
        self.runs_write(tmp_path / "other", (photos / "cat/0.png").read_bytes())
        (photos / "all").symlink_to(tmp_path / "other")
        (photos / "one").symlink_to(tmp_path / "other/runs/first/samples")
        (photos / "2.png").symlink_to(tmp_path / "other/runs/first/proxies/0/0/1234/preview.png")
        done = prepare(photos, *ALL)
        assert done.names() == ["cat/0.png", "dog/1.png"]
        assert done.record.notes == [
            "passed over: 1 files of Unecho's own data (2.png); 2 folders of Unecho's own data (all, one)"
        ]

    @pytest.mark.parametrize("below", ["runs", "runs/first/samples", "datasets/cats"])
    def test_is_refused_as_a_source(self, prepare, photos, tmp_path, below: str) -> None:
        self.runs_write(tmp_path / "root", (photos / "cat/0.png").read_bytes())
        (tmp_path / "root" / below).mkdir(parents=True, exist_ok=True)
        with pytest.raises(Fatal, match=r"^data\.source: file://.*/root/.* lies in .*, where Unecho keeps runs"):
            prepare(tmp_path / "root" / below, *ALL)

    def test_a_source_elsewhere_below_the_root_is_told(self, prepare, photos, tmp_path) -> None:
        done = prepare(photos, *ALL, store=DirectoryStore(tmp_path))
        assert done.record.notes == [
            f"the source file://{photos} lies below the root file://{tmp_path}: what runs keep there is never read as "
            "an image"
        ]

    def test_of_a_bucket_is_passed_over_and_told(self, prepare, photos, s3_root) -> None:
        source, picture = f"{s3_root}/photos", (photos / "cat/0.png").read_bytes()
        for key in ("cat/0.png", "dog/1.png"):
            open_store(source).put(key, photos / key)
        for root in ("mine", "a/theirs"):
            open_store(f"{source}/{root}").put("runs/first/plans/0.json", b"{}")
            open_store(f"{source}/{root}").put("runs/first/samples/preview.png", picture)
        open_store(source).put("mine-too/3.png", photos / "dog/1.png")  # no part of the root, whose name it begins with
        done = prepare(source, *ALL, store=open_store(f"{source}/mine"))
        assert done.names() == ["cat/0.png", "dog/1.png", "mine-too/3.png"]
        assert f"the root {source}/mine lies inside the source {source}" in done.record.notes[0]
        assert "2 folders of Unecho's own data (a/theirs, mine)" in done.record.notes[1]
        with pytest.raises(Fatal, match=r"lies in s3://.*/photos/mine/runs, where Unecho keeps"):
            prepare(f"{source}/mine/runs/first", *ALL, store=open_store(f"{source}/mine"))


def test_a_source_that_is_a_file_is_told_to_be_one(tree, tmp_path) -> None:
    tree({"photos.zip": b"PK\x03\x04" + bytes(30), "cifar-10-python.tar.gz": b"\x1f\x8b" + bytes(30)})
    for name, kind in (("photos.zip", "a zip archive: unpack it"), ("cifar-10-python.tar.gz", "a gzip file: unpack")):
        with pytest.raises(Fatal, match=rf"^data\.source: file://.*/{name}: not a directory, but {kind}"):
            survey(Data(source=str(tmp_path / "source" / name)))


def test_a_source_is_opened_as_itself_in_the_processes_that_decode(prepare, tree, noise, monkeypatch) -> None:
    monkeypatch.setattr("unecho.components.data.decoding.IN_PROCESS_BYTES", 0)
    tree(images(noise, "0.png", "1.png"), "pics")
    source = tree(images(noise, "2.png", "3.png", seed=1), "pics #2%20?")
    assert prepare(f"'{source}'", *ALL, "execution.workers=2").names() == ["2.png", "3.png"]


def test_the_plan_of_a_run_is_its_first_object(tmp_path) -> None:
    """What a root is known by from its first run on: `prepare` comes after it."""
    from unecho.components.config import resolve
    from unecho.components.run import Run

    plan(Run.at(str(tmp_path), "a"), resolve("tiny"))
    assert [stat.key for stat in open_store(str(tmp_path)).list("")] == ["runs/a/plans/0.json"]

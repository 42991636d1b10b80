"""WebDataset's tar shards as a source, in a directory and below a bucket's prefix."""

import gzip
import io
import json
import random
import tarfile
import tracemalloc
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unecho.components.config.fields import Data
from unecho.components.data import decoding
from unecho.components.data.prepare import survey
from unecho.components.data.sources.shards import Shard
from unecho.components.failure import Fatal
from unecho.components.store import open_store
from unecho.components.store.directory import DirectoryStore

ALL = ("data.held_out=0", "data.resolution=8")
Content = np.ndarray | bytes | str | dict | tarfile.TarInfo


def png(pixels: np.ndarray, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **({"lossless": True} if kind == "WEBP" else {}))
    return file.getvalue()


def as_tar(members: Iterable[tuple[str, Content]], form: int = tarfile.USTAR_FORMAT) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as archive:
        for name, content in members:
            if isinstance(content, tarfile.TarInfo):
                archive.addfile(content)
                continue
            kind = "WEBP" if name.endswith(".webp") else "JPEG" if name.endswith((".jpg", ".JPG")) else "PNG"
            data = png(content, kind) if isinstance(content, np.ndarray) else content
            data = json.dumps(data) if isinstance(data, dict) else data
            data = data.encode() if isinstance(data, str) else data
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return file.getvalue()


def member(name: str, kind: bytes, **fields: str) -> tuple[str, tarfile.TarInfo]:
    info = tarfile.TarInfo(name)
    info.type = kind
    for field, value in fields.items():
        setattr(info, field, value)
    return name, info


@pytest.fixture
def shards(tree) -> Callable[..., Path]:
    """shards({"0.tar": [(name, content), ...]}) writes archives and gives their folder."""

    def call(archives: dict[str, list[tuple[str, Content]]], name: str = "source", **others: str) -> Path:
        return tree({**{key: as_tar(members) for key, members in archives.items()}, **others}, name)

    return call


def captions(dataset) -> list[tuple[str, ...]]:
    return [dataset.captions(row) for row in range(dataset.count)]


class TestEqualToAFolder:
    """The same images, captions and labels are the same data set."""

    @pytest.fixture
    def both(self, tree, shards, noise) -> tuple[Path, Path]:
        names = sorted(f"{'ab'[number % 2]}/{number:03}" for number in range(150))
        images = dict(zip(names, noise(150), strict=True))
        lines = [json.dumps({"file_name": f"{n}.png", "text": [f"one {n}", f"two {n}"]}) for n in names]
        folder = tree({**{f"{n}.png": i for n, i in images.items()}, "metadata.jsonl": "\n".join(lines)}, "folder")
        packed: dict[str, list[tuple[str, Content]]] = {f"{shard:05}.tar": [] for shard in range(3)}
        for number, name in enumerate(names):
            shard = packed[f"{number // 50:05}.tar"]
            shard.append((f"./{name}.png", images[name]))
            if number % 2:
                shard.append((f"./{name}.json", {"caption": [f"one {name}", f"two {name}"], "label": name[0]}))
            else:
                shard += [(f"./{name}.txt", f"one {name}\n\ntwo {name}\n"), (f"./{name}.cls", name[0])]
        return folder, shards(packed, "shards")

    SETTINGS = ("data.held_out=0.2", "data.text_lines=each", "data.chunk_mib=0.001", "execution.workers=2")

    def test_in_a_directory(self, prepare, both) -> None:
        folder, packed = both
        plain, done = prepare(folder, *self.SETTINGS), prepare(packed, *self.SETTINGS, root="other")
        assert (done.images() == plain.images()).all()
        assert captions(done.dataset) == captions(plain.dataset)
        assert (done.dataset.labels == plain.dataset.labels).all()
        assert done.dataset.label_names == ["a", "b"]
        assert done.record.digest == plain.record.digest
        assert done.names()[::75] == ["00000.tar/a/000.png", "00001.tar/b/001.png"]
        assert done.dataset.manifest.caption_count == 300

    @pytest.mark.parametrize("in_process", [0, 1 << 30], ids=["workers", "in process"])
    def test_below_a_prefix(self, prepare, both, s3_root: str, monkeypatch, in_process: int) -> None:
        monkeypatch.setattr(decoding, "IN_PROCESS_BYTES", in_process)
        folder, packed = both
        bucket = open_store(f"{s3_root}/shards")
        for path in packed.iterdir():
            bucket.put(path.name, path)
        here = prepare(folder, *self.SETTINGS)
        there = prepare(f"{s3_root}/shards", *self.SETTINGS, store=open_store(f"{s3_root}/root"))
        assert there.record.digest == here.record.digest
        assert (there.images() == here.images()).all()
        assert captions(there.dataset) == captions(here.dataset)

    def test_in_a_dry_run(self, both) -> None:
        folder, packed = both
        assert survey(Data(source=str(packed))) == survey(Data(source=str(folder)))


def test_captions_come_from_texts_and_else_from_json_and_from_a_named_field_first(prepare, shards, noise) -> None:
    a, b, c, d, e = noise(5, 3)
    source = shards(
        {
            "0.tar": [
                ("0.jpg", a),
                ("0.json", {"caption": "json", "alt": "other"}),
                ("0.txt", "text"),
                ("1.JPG", b),
                ("1.json", {"prompt": ["x", "", "y"], "alt": ["one", "two"]}),
                ("2.webp", c),
                ("2.caption", " a caption \n"),
                ("3.jpeg", png(d, "JPEG")),
                ("3.txt", "0 0.5 0.5 0.1\n"),
                ("4.png", e),
            ]
        }
    )
    done = prepare(source, *ALL)
    assert captions(done.dataset) == [("text",), ("x", "y"), ("a caption",), (), ()]
    assert done.record.notes == ["2 of 5 images have no caption"]
    named = prepare(source, *ALL, "data.caption_column=Alt")
    assert captions(named.dataset) == [("other",), ("one", "two"), ("a caption",), (), ()]
    assert captions(prepare(source, *ALL, "data.captions=none").dataset) == [()] * 5


def test_members_of_a_sample_need_not_lie_beside_each_other(prepare, shards, noise) -> None:
    a, b = noise(2)
    source = shards({"0.tar": [("0.txt", "a"), ("1.png", b), ("1.txt", "b"), ("0.png", a)]})
    done = prepare(source, *ALL)
    assert done.names() == ["0.tar/1.png", "0.tar/0.png"]
    assert captions(done.dataset) == [("b",), ("a",)]
    assert (done.images() == np.stack([b, a])[:, None]).all()


@pytest.mark.parametrize(
    ("given", "names", "labels"),
    [
        ([("cls", "10"), ("cls", "2\n"), ("json", {"label": 10})], ["2", "10"], [1, 0, 1]),
        ([("cls", "dog"), ("json", {"class": "cat"}), ("txt", "x")], ["cat", "dog"], [1, 0, -1]),
        ([("txt", "x")] * 3, [], [-1, -1, -1]),
    ],
)
def test_labels_come_from_cls_or_json(prepare, shards, noise, given, names, labels) -> None:
    members = [
        pair
        for number, (image, (suffix, content)) in enumerate(zip(noise(3), given, strict=True))
        for pair in ((f"{number}.png", image), (f"{number}.{suffix}", content))
    ]
    source = shards({"0.tar": members})
    dataset = prepare(source, *ALL).dataset
    assert (dataset.label_names, dataset.labels.tolist()) == (names, labels)
    assert prepare(source, *ALL, "data.labels=none").dataset.labels.tolist() == [-1] * 3
    if names:
        named = prepare(source, *ALL, "data.captions=labels").dataset
        assert named.captions(0) == (names[labels[0]],)


def test_a_column_of_json_groups_the_split(prepare, shards, noise) -> None:
    members: list[tuple[str, Content]] = []
    for number, image in enumerate(noise(40)):
        members += [(f"{number}.png", image), (f"{number}.json", {"patient": number // 4})]
    source = shards({"0.tar": members[:30], "1.tar": members[30:]})
    done = prepare(source, "data.held_out=0.2", "data.resolution=8", "data.split_column=patient")
    held_out = done.dataset.held_out.reshape(10, 4)
    assert (held_out == held_out[:, :1]).all()
    assert held_out.sum() == 8
    with pytest.raises(
        Fatal, match=r"data\.split_column: burst: .*0\.tar/0\.json: no such column; it has the fields pat"
    ):
        prepare(source, *ALL, "data.split_column=burst")


def test_what_is_no_part_of_a_sample_is_passed_over_and_counted(prepare, shards, noise) -> None:
    a, b, c = noise(3)
    sparse = tarfile.TarInfo("7.png")
    sparse.type = tarfile.GNUTYPE_SPARSE
    members = [
        member("./", tarfile.DIRTYPE),
        member("./d", tarfile.DIRTYPE),
        ("d/0.png", a),
        ("d/._0.png", b"\0\5\x16\7"),
        ("d/0.mask.png", b),
        ("d/0.npy", b"x"),
        ("README", "x"),
        ("1.txt", "a caption"),
        ("/etc/2.png", b),
        ("../3.png", b),
        member("4.png", tarfile.SYMTYPE, linkname="/etc/passwd"),
        member("5.png", tarfile.LNKTYPE, linkname="d/0.png"),
        member("6.png", tarfile.FIFOTYPE),
        ("7.png", sparse),
        ("8.png", c),
    ]
    done = prepare(shards({"0.tar": members}, **{"0_stats.json": "{}", "1.tar.gz": "x"}), *ALL)
    assert done.names() == ["0.tar/d/0.png", "0.tar/8.png"]
    assert (done.images() == np.stack([a, c])[:, None]).all()
    assert done.record.notes == [
        "passed over: 1 .mask.png in archives (0.tar/d/0.mask.png); 1 .npy in archives (0.tar/d/0.npy); "
        "2 files that are no .tar (0_stats.json, 1.tar.gz); 1 hidden or system files (0.tar/d/._0.png); "
        "2 links in archives (0.tar/4.png, 0.tar/5.png); "
        "2 members with an absolute path or '..' (0.tar/../3.png, 0.tar//etc/2.png); "
        "1 pipes and devices in archives (0.tar/6.png); 1 sparse files in archives (0.tar/7.png); "
        "1 texts in archives without an image (0.tar/1.txt); 1 without a suffix (0.tar/README)"
    ]


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ([("0.png", b"x"), ("0.jpg", b"x")], r"0\.tar/0\.jpg: the second image of sample 0, after 0\.png"),
        ([("0.png", b"x"), ("0.png", b"x")], r"0\.tar/0\.png: the second image of sample 0"),
        ([("0.png", b"x"), ("0.txt", b"x"), ("0.txt", b"x")], r"0\.tar/0\.txt: the second \.txt of sample 0"),
        ([("0.png", b"x"), ("0.txt", b"a\n\xff")], r"0\.tar/0\.txt, line 2: not UTF-8 text"),
        ([("0.png", b"x"), ("0.json", '{\n"text": }')], r"0\.tar/0\.json, line 2: not JSON"),
        ([("0.png", b"x"), ("0.json", {"text": [1]})], r"0\.tar/0\.json: text \[1\] is not text, nor a list of texts"),
        ([("0.png", b"x"), ("0.json", {"label": [1]})], r"0\.tar/0\.json: label \[1\] is not one label"),
        ([("0.png", b"x"), ("0.txt", b"x" * (1 << 20) + b"x")], r"0\.tar/0\.txt: 1048577 bytes, at most 1048576"),
        (
            [("0.txt", b"x"), ("1.npy", b"x")],
            r"no image in 1 tar shards \(1 \.npy .*; 1 texts in archives without an im",
        ),
        ([], r"no image in 1 tar shards \(all empty\)"),
        ([("0.png", b"x")], r"0\.tar/0\.png: not an image"),
    ],
)
def test_what_does_not_fit_stops_with_shard_and_member(prepare, shards, members, says: str) -> None:
    with pytest.raises(Fatal, match=says) as stopped:
        prepare(shards({"0.tar": members}), *ALL)
    assert "\n" not in str(stopped.value)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (
            "data.caption_column=re",
            r"data\.caption_column: re: .*0\.tar/0\.json: no such column; it has the fields text$",
        ),
        ("data.official_test=true", r"data\.official_test: true needs a test file, layout webdataset has none"),
        ("data.captions=labels", r"data\.captions: labels: .*no labels"),
    ],
)
def test_fields_that_do_not_fit_are_named(prepare, shards, noise, settings: str, says: str) -> None:
    source = shards({"0.tar": [("0.png", noise(1)[0]), ("0.json", {"text": "x"})]})
    with pytest.raises(Fatal, match=says):
        prepare(source, *ALL, settings)


@pytest.mark.parametrize("field", ["caption_column", "split_column"])
def test_a_column_without_any_json_is_refused(prepare, shards, noise, field: str) -> None:
    source = shards({"0.tar": [("0.png", noise(1)[0]), ("0.txt", "x")]})
    with pytest.raises(Fatal, match=rf"data\.{field}: x: .*no \.json in its shards"):
        prepare(source, *ALL, f"data.{field}=x")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (gzip.compress(b"x"), "not a tar archive, but a gzip file: unpack it"),
        (b"", "not a tar archive, but an empty file"),
        (b"version https://git-lfs.github.com/spec/v1\n", "not a tar archive, but a Git LFS pointer"),
        (b"\0" * 100, r"0\.tar: "),
    ],
)
def test_a_shard_that_is_no_tar_archive_is_told_to_be_what_it_is(prepare, tree, content: bytes, says: str) -> None:
    with pytest.raises(Fatal, match=says):
        prepare(tree({"0.tar": content}), *ALL)


def test_a_compressed_shard_alone_is_told_to_be_unpacked(prepare, tree) -> None:
    source = tree({"0.tar.gz": gzip.compress(as_tar([]))})
    missing = {"webdataset": "no tar shards there", "auto": "no images there"}
    for layout, says in missing.items():
        with pytest.raises(Fatal, match=rf"{says} \(found 0\.tar\.gz: a gzip file: unpack it\): .* needs"):
            prepare(source, *ALL, f"data.layout={layout}")


def test_a_shard_in_the_place_of_a_directory_is_told(prepare, tree) -> None:
    source = tree({"0.tar": as_tar([("0.txt", "x")])})
    with pytest.raises(Fatal, match=r"not a directory, but a tar archive: .*the directory of the shards is needed"):
        prepare(source / "0.tar", *ALL)


def test_images_beside_archives_are_images_and_the_archives_are_told(prepare, tree, noise) -> None:
    a, b = noise(2)
    source = tree({"0.png": a, "1.tar": as_tar([("1.png", b)])})
    done = prepare(source, *ALL)
    assert done.names() == ["0.png"]
    assert done.record.notes[0] == "1 tar files are passed over: data.layout=webdataset reads them"
    assert prepare(source, *ALL, "data.layout=webdataset").names() == ["1.tar/1.png"]


class TestReading:
    """What is read of a shard, and what damage does."""

    def listed(self, tmp_path: Path, data: bytes) -> tuple[list[str], list[int]]:
        """Names of the members, and the sizes of the reads."""
        sizes = []

        class Counting(DirectoryStore):
            def read_into(self, key: str, start: int, target: memoryview) -> None:
                sizes.append(len(target))
                super().read_into(key, start, target)

        (tmp_path / "0.tar").write_bytes(data)
        store = Counting(tmp_path)
        stat = store.stat("0.tar")
        assert stat is not None
        shard, names = Shard(store, stat, lambda reason, key: None), []
        for found in shard.members():
            names.append(found.name)
            if found.name.endswith(".txt"):
                shard.read(found)
        return names, sizes

    def test_large_members_are_skipped_and_small_ones_read_through(self, tmp_path) -> None:
        large = as_tar((f"{number}.png", bytes(300_000)) for number in range(20))
        names, sizes = self.listed(tmp_path, large)
        assert len(names) == 20
        assert sum(sizes) < len(large) / 10
        small = as_tar((f"{number}.txt", bytes(100)) for number in range(5000))
        names, sizes = self.listed(tmp_path, small)
        assert len(names) == 5000
        assert len(sizes) < 20
        assert max(sizes) <= 1 << 20
        assert sum(sizes) < 1.1 * len(small)

    def test_memory_does_not_grow_with_the_size_of_images(self, tmp_path) -> None:
        def peak(data: bytes) -> int:
            (tmp_path / "0.tar").write_bytes(data)
            tracemalloc.start()
            self.listed(tmp_path, data)
            found = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            return found

        small, large = (as_tar((f"{n}.png", bytes(size)) for n in range(200)) for size in (1_000, 100_000))
        assert peak(large) < peak(small) + (1 << 20)

    @pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
    def test_long_and_foreign_names_are_read_in_every_format(self, tmp_path, form: int) -> None:
        wanted = [f"{'folder/' * 12}é.txt", *([f"{'x' * 200}.txt"] if form != tarfile.USTAR_FORMAT else [])]
        assert self.listed(tmp_path, as_tar(((name, "x") for name in wanted), form))[0] == wanted

    def test_a_shard_that_is_cut_off_anywhere_is_told_so(self, tmp_path) -> None:
        data = as_tar([(f"{number}.txt", bytes([65 + number]) * 700) for number in range(3)])
        ends = 3 * (512 + 1024)
        for size in [*range(1, ends, 97), *range(512, ends + 1, 512)]:
            with pytest.raises(Fatal, match=r"0\.tar: (cut off or damaged|not a tar archive, but)") as stopped:
                self.listed(tmp_path, data[:size])
            assert "\n" not in str(stopped.value)
        assert self.listed(tmp_path, data[: ends + 512])[0] == ["0.txt", "1.txt", "2.txt"]

    def test_damage_is_one_line_or_harmless(self, tmp_path) -> None:
        rng = random.Random(0)
        for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
            data = as_tar([(f"{'long/' * 30}{number}é.txt", "x" * 300) for number in range(3)], form)
            for _ in range(150):
                damaged = bytearray(data)
                for _ in range(rng.choice([1, 1, 20])):
                    damaged[rng.randrange(len(data))] = rng.randrange(256)
                with suppress(Fatal):  # and no other
                    self.listed(tmp_path, bytes(damaged))

    def test_a_header_that_claims_any_size_is_not_read_into_memory(self, tmp_path) -> None:
        info = tarfile.TarInfo("././@LongLink")
        info.type, info.size = tarfile.GNUTYPE_LONGNAME, 6 << 20
        data = info.tobuf(tarfile.GNU_FORMAT) + bytes(7 << 20)
        with pytest.raises(Fatal, match="cut off or damaged: a header of 6291456 bytes"):
            self.listed(tmp_path, data)

    def test_a_size_below_zero_does_not_lead_round_in_circles(self, tmp_path) -> None:
        head = bytearray(tarfile.TarInfo("0.txt").tobuf(tarfile.USTAR_FORMAT))
        head[124:136] = b"\xff" * 10 + b"\xfc\x00"  # -1024, in base 256
        head[148:156] = b"%06o\0 " % (256 + sum(head[:148]) + sum(head[156:]))
        with pytest.raises(Fatal, match="cut off or damaged"):
            self.listed(tmp_path, as_tar([("a.txt", "x")])[:1024] + bytes(head) + bytes(1024))

    def test_the_map_of_a_sparse_file_that_never_ends_is_told(self, tmp_path) -> None:
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
            info = tarfile.TarInfo("0.png")
            info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "0.png"}
            info.size = 512
            archive.addfile(info, io.BytesIO(b"9999999\n" + bytes(504)))
        with pytest.raises(Fatal, match="cut off or damaged"):
            self.listed(tmp_path, file.getvalue())

"""Captions of images: metadata files of any spelling, and text files beside images."""

import gzip
import io
import json
import unicodedata

import pyarrow as pa
import pyarrow.parquet
import pytest

from unecho.components.data.sources.names import Names
from unecho.components.failure import Fatal

ALL = ("data.held_out=0",)


def test_captions_of_a_metadata_jsonl_are_kept(prepare, tree, noise) -> None:
    a, b, c = noise(3)
    lines = [
        {"file_name": "b.png", "text": "ein Hündchen\nim Gras", "extra": 1},
        {"file_name": "./x/c.png", "text": ""},
    ]
    metadata = "\n".join(json.dumps(line) for line in lines) + "\n\n"
    done = prepare(tree({"a.png": a, "b.png": b, "x/c.png": c, "metadata.jsonl": metadata}), *ALL)
    assert [done.dataset.captions(row) for row in range(3)] == [(), ("ein Hündchen\nim Gras",), ()]
    assert (done.dataset.manifest.captions, done.dataset.manifest.caption_count) == (1, 1)
    assert "2 of 3 images have no caption" in done.record.notes


def test_captions_of_a_metadata_csv_are_kept(prepare, tree, noise) -> None:
    a, b = noise(2)
    metadata = '\ufefffile_name,text\na.png,"a dog, sitting"\nb.png,\n'
    done = prepare(tree({"t/a.png": a, "t/b.png": b, "t/metadata.csv": metadata}), *ALL)
    assert [done.dataset.captions(row) for row in range(2)] == [("a dog, sitting",), ()]


def test_captions_of_the_nearest_metadata_file_win(prepare, tree, noise) -> None:
    files = {
        "metadata.jsonl": '{"file_name": "t/a.png", "text": "far"}\n{"file_name": "t/b.png", "text": "only"}',
        "t/metadata.jsonl": '{"file_name": "a.png", "text": "near"}',
    }
    a, b = noise(2)
    done = prepare(tree({"t/a.png": a, "t/b.png": b, **files}), *ALL)
    assert [done.dataset.captions(row) for row in range(2)] == [("near",), ("only",)]


@pytest.mark.parametrize(
    ("metadata", "says"),
    [
        (
            '{"file_name": "a.png"}\n{"file_name": "gone.png"}',
            r"metadata\.jsonl, line 2: names gone\.png: no such image",
        ),
        ('{"file_name": "../a.png"}', r"line 1: names \.\./a\.png: no such image"),
        ('{"file_name": "a.png"}\n\n{"file_name": "a.png"}', r"line 3: names a\.png a second time"),
        ('{"text": "no name"}', "line 1: no file_name"),
        ('{"file_name": "a.png", "text": 3}', "line 1: text 3 is not text"),
        ('{"file_name": "a.png"', "line 1: not JSON"),
        ('["a.png"]', "line 1: not an object"),
        (b'\n{"file_name": "\xff"}', r"metadata\.jsonl, line 2: not UTF-8 text"),
    ],
)
def test_lines_that_do_not_fit_stop_with_file_and_line(prepare, tree, noise, metadata: str | bytes, says: str) -> None:
    with pytest.raises(Fatal, match=says):
        prepare(tree({"a.png": noise(1)[0], "metadata.jsonl": metadata}), *ALL)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("metadata.csv", "file_name, text\na.png, one\nb.png, two\n"),
        ("metadata.csv", "file_name;text\na.png;one\nb.png;two\n"),
        ("metadata.csv", "file_name\ttext\na.png\tone\nb.png\ttwo\n"),
        ("metadata.csv", '"File_Name","Caption"\r\n"a.png","one"\r\n\r\n"b.png","two"\r\n'),
        ("metadata.csv", "id,PATH ,Prompt\n0,./a.png,one\n1,./b.png,two\n"),
        ("metadata.csv", "filename,description\na.png,one\nb.png,two\n"),
        ("metadata.jsonl", '{"image": "a.png", "caption": "one"}\n{"image": "b.png", "caption": "two"}'),
        (
            "metadata.jsonl",
            '{"File Name": "a.png", "captions": "one"}\n{"file": "b.png", "text": "two", "id": 0}',
        ),
    ],
)
def test_columns_are_found_under_their_usual_names(prepare, tree, noise, file: str, content: str) -> None:
    a, b = noise(2)
    done = prepare(tree({"a.png": a, "b.png": b, file: content}), *ALL)
    assert [done.dataset.captions(row) for row in range(2)] == [("one",), ("two",)]
    assert done.record.notes == []


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        (
            "metadata.csv",
            "a.png,a dog\n",
            r"metadata\.csv, line 1: the columns are a\.png, a dog: none of them",
        ),
        (
            "metadata.jsonl",
            '{"name": "a.png"}',
            r"metadata\.jsonl, line 1: no file_name: .* has the fields name, one of",
        ),
        ("metadata.csv", "file_name,text\na.png,one, two\n", r"line 2: 3 values for the 2 columns of line 1"),
        ("metadata.jsonl", '{"file_name": "a.png", "captions": ["x", 1]}', r"line 1: captions \['x', 1\] is not text"),
        ("metadata.csv", "file_name,text\n/elsewhere/a.png,x\n", r"line 2: names /elsewhere/a\.png: no such image"),
    ],
)
def test_columns_that_do_not_fit_are_named(prepare, tree, noise, file: str, content: str, says: str) -> None:
    with pytest.raises(Fatal, match=says):
        prepare(tree({"a.png": noise(1)[0], file: content}), *ALL)


def test_metadata_without_captions_say_which_columns_they_have(prepare, tree, noise) -> None:
    done = prepare(tree({"a.png": noise(1)[0], "metadata.csv": "file_name,title\na.png,one\n"}), *ALL)
    assert done.record.notes == [
        "metadata.csv: no column is a caption: it has file_name, title; captions are read from text, caption, "
        "captions, prompt, description",
        "1 of 1 images have no caption",
    ]


@pytest.mark.parametrize("on_disk", ["NFC", "NFD"])
@pytest.mark.parametrize("written", ["NFC", "NFD"])
def test_names_match_in_either_form_of_unicode(prepare, tree, noise, on_disk, written) -> None:
    stored, named = (unicodedata.normalize(form, "Épagneul/é.png") for form in (on_disk, written))
    source = tree({stored: noise(1)[0], "metadata.jsonl": json.dumps({"file_name": named, "text": "dog"})})
    assert prepare(source, *ALL).dataset.captions(0) == ("dog",)


def test_names_match_as_windows_writes_them_and_as_whole_paths(prepare, tree, noise, tmp_path) -> None:
    a, b, c, d = noise(4)
    linked = tmp_path / "link"
    linked.symlink_to(tmp_path / "source")
    names = ["x\\a.png", str(tmp_path / "source/x/b.png"), f"file://{linked}/x/c.png", "./x/../x/d.png"]
    lines = "\n".join(json.dumps({"file_name": name, "text": name[-5]}) for name in names)
    tree({"x/a.png": a, "x/b.png": b, "x/c.png": c, "x/d.png": d, "metadata.jsonl": lines})
    done = prepare(linked, *ALL)
    assert [done.dataset.captions(row) for row in range(4)] == [("a",), ("b",), ("c",), ("d",)]


def test_two_names_that_differ_in_unicodes_form_alone_are_not_mixed_up() -> None:
    from unecho.components.data.sources.keys import Keys

    keys = Keys()
    for name in sorted((unicodedata.normalize(form, "é.png") for form in ("NFC", "NFD")), key=str.encode):
        keys.append(name)
    names = Names(keys, [])
    found = [names.find(unicodedata.normalize(form, "é.png"), "") for form in ("NFC", "NFD")]
    assert sorted(found) == [0, 1]  # each is found as it is written


def test_a_key_with_an_empty_part_is_a_folder_of_its_own() -> None:
    from unecho.components.data.sources.keys import Keys

    keys = Keys()
    for name in ("a//x.png", "a/x.png", "a/y.png"):  # as a bucket may hold them
        keys.append(name)
    names = Names(keys, [])
    assert [names.find("x.png", folder) for folder in ("a//", "a/")] == [0, 1]
    assert names.find("y.png", "a//") is None
    assert [names.find(name, "") for name in ("a//x.png", "a//y.png", "./a//../y.png")] == [0, 2, 2]


def test_text_files_beside_images_are_captions_where_metadata_have_none(prepare, tree, noise) -> None:
    a, b, c, d = noise(4)
    files = {
        "x/a.png": a,
        "x/a.txt": "\ufeffa dog, sitting\n",
        "x/b.jpg.png": b,
        "x/b.jpg.txt": "second",
        "c.png": c,
        "c.txt": "0 0.5 0.5 0.25 0.25\n",  # a box, as YOLO keeps it
        "d.png": d,
        "d.txt": "not this",
        "README.txt": "of the data",
        "metadata.jsonl": '{"file_name": "d.png", "text": "this"}',
    }
    done = prepare(tree(files), *ALL)
    captions = dict(zip(done.names(), (done.dataset.captions(row) for row in range(4)), strict=True))
    assert captions == {"c.png": (), "d.png": ("this",), "x/a.png": ("a dog, sitting",), "x/b.jpg.png": ("second",)}
    assert done.record.notes == [
        "2 captions are text files beside their images",
        "1 of 4 images have no caption",
        "passed over: 3 .txt (README.txt, c.txt, d.txt)",
    ]
    (tmp := done.run.store.path("").parent / "source/x/a.txt").write_text("another")
    assert prepare(tmp.parent.parent, *ALL).dataset.captions(2) == ("another",)
    tmp.write_bytes(b"\xff")
    with pytest.raises(Fatal, match=r"x/a\.txt, line 1: not UTF-8 text"):
        prepare(tmp.parent.parent, *ALL)


def parquet(**columns: list) -> bytes:
    file = io.BytesIO()
    pa.parquet.write_table(pa.table(columns), file)
    return file.getvalue()


LISTS = [["a dog", "ein Hund"], ["one"], [], [" ", "b", None]]
KEPT = [("a dog", "ein Hund"), ("one",), (), ("b",)]
FILES = [f"{row}.png" for row in range(4)]


@pytest.mark.parametrize(
    ("file", "content"),
    [
        (
            "metadata.jsonl",
            "\n".join(json.dumps({"file_name": n, "text": c}) for n, c in zip(FILES, LISTS, strict=True)),
        ),
        ("metadata.parquet", parquet(file_name=FILES, caption=LISTS)),
        (
            "metadata.csv",
            'file_name,text\n0.png,"[""a dog"", ""ein Hund""]"\n1.png,one\n2.png,[]\n3.png,"["" "", ""b""]"\n',
        ),
    ],
    ids=["jsonl", "parquet", "csv"],
)
def test_a_sample_keeps_all_captions_of_a_list(prepare, tree, noise, file: str, content: str | bytes) -> None:
    done = prepare(tree({**dict(zip(FILES, noise(4), strict=True)), file: content}), *ALL)
    assert [done.dataset.captions(row) for row in range(4)] == KEPT
    manifest = done.dataset.manifest
    assert (manifest.captions, manifest.caption_count) == (3, 4)
    assert "1 of 4 images have no caption" in done.record.notes
    lines = gzip.decompress(done.run.store.get(manifest.names.key)).decode().splitlines()
    assert [json.loads(line)["caption"] for line in lines] == [["a dog", "ein Hund"], "one", None, "b"]


def test_brackets_that_are_no_list_of_texts_are_a_caption(prepare, tree, noise) -> None:
    rows = "0.png;[a dog]\n1.png;[1, 2]\n2.png;[\n"
    files = {**dict(zip(FILES, noise(3), strict=False)), "metadata.csv": f"file_name;text\n{rows}"}
    done = prepare(tree(files), *ALL)
    assert [done.dataset.captions(row) for row in range(3)] == [("[a dog]",), ("[1, 2]",), ("[",)]


def test_a_named_column_is_read_and_the_usual_ones_are_not(prepare, tree, noise) -> None:
    a, b, c = noise(3)
    lines = [{"file_name": "0.png", "Re-Caption": "new", "text": "old"}, {"file_name": "1.png", "text": "old"}]
    files = {
        "0.png": a,
        "1.png": b,
        "x/2.png": c,
        "metadata.jsonl": "\n".join(map(json.dumps, lines)),
        "x/metadata.csv": "file_name,text\n2.png,old\n",
    }
    done = prepare(tree(files), *ALL, "data.caption_column=re_caption")
    assert [done.dataset.captions(row) for row in range(3)] == [("new",), (), ()]
    assert (
        "x/metadata.csv: no column is a caption: it has file_name, text; captions are read from re_caption"
        in done.record.notes
    )


@pytest.mark.parametrize(
    ("files", "says"),
    [
        (
            {"metadata.jsonl": '{"file_name": "0.png", "text": "a"}'},
            r"data\.caption_column: prompt: .*metadata\.jsonl, line 1: no such column; it has the fields file_name, t",
        ),
        (
            {"metadata.parquet": parquet(file_name=["0.png"], text=["a"])},
            r"metadata\.parquet, row 1: no such column; it has the fields file_name, text$",
        ),
        ({"0.txt": "a"}, r"data\.caption_column: prompt: file://.*source: no metadata file there"),
    ],
)
def test_a_named_column_that_no_line_has_stops_with_file_and_fields(prepare, tree, noise, files, says: str) -> None:
    with pytest.raises(Fatal, match=says):
        prepare(tree({"0.png": noise(1)[0], **files}), *ALL, "data.caption_column=prompt")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"PAR1", r"metadata\.parquet: not Parquet"),
        (
            parquet(file_name=["0.png"], text=["a"])[:-20] + b"\0" * 12 + b"\x10\0\0\0PAR1",
            r"metadata\.parquet: not Parquet",
        ),
        (parquet(file_name=["0.png"], text=[3]), r"metadata\.parquet, row 1: text 3 is not text"),
        (parquet(file_name=["0.png", "1.png"], text=["a", "b"]), r"metadata\.parquet, row 2: names 1\.png: no such"),
    ],
)
def test_parquet_that_does_not_fit_stops_with_file_and_row(prepare, tree, noise, content: bytes, says: str) -> None:
    with pytest.raises(Fatal, match=says):
        prepare(tree({"0.png": noise(1)[0], "metadata.parquet": content}), *ALL)


@pytest.mark.parametrize(
    ("lines", "captions"),
    [
        ("whole", ("A red fire engine.\nde=Ein Feuerwehrauto.\n\nfr=Un camion.",)),
        ("first", ("A red fire engine.",)),
        ("each", ("A red fire engine.", "de=Ein Feuerwehrauto.", "fr=Un camion.")),
    ],
)
def test_of_a_text_file_the_lines_that_are_asked_for_are_captions(prepare, tree, noise, lines, captions) -> None:
    text = "\n  A red fire engine.\r\nde=Ein Feuerwehrauto.\r\n\r\nfr=Un camion.\r\n".replace("\r", "")
    a, b = noise(2)
    source = tree({"a.png": a, "a.txt": text, "b.png": b, "b.txt": "0 0.5 0.5\n1 0.25 0.25\n"})
    done = prepare(source, *ALL, f"data.text_lines={lines}")
    assert [done.dataset.captions(row) for row in range(2)] == [captions, ()]


def test_a_text_file_that_is_not_utf_8_is_named_with_its_line(prepare, tree, noise) -> None:
    source = tree({"a.png": noise(1)[0], "a.txt": b"one\ntwo\n\xff"})
    with pytest.raises(Fatal, match=r"source/a\.txt, line 3: not UTF-8 text"):
        prepare(source, *ALL)


class TestCaptionsByLabel:
    """data.captions: labels, and none."""

    def test_a_folders_name_is_the_caption_where_there_is_no_other(self, prepare, tree, noise) -> None:
        a, b, c = noise(3)
        files = {"golden_retriever/0.png": a, "fire-engine/1.png": b, "fire-engine/2.png": c}
        source = tree({**files, "metadata.csv": "file_name,text\nfire-engine/2.png,a lorry\n"})
        done = prepare(source, *ALL, "data.captions=labels")
        assert [done.dataset.captions(row) for row in range(3)] == [
            ("fire engine",),
            ("a lorry",),
            ("golden retriever",),
        ]
        assert "2 images have their label's name for a caption" in done.record.notes
        assert not any("no caption" in note for note in done.record.notes)
        unlabelled = prepare(source, *ALL, "data.captions=labels", "data.labels=none")
        assert unlabelled.dataset.captions(0) == ("fire engine",)
        assert unlabelled.dataset.label_names == []

    def test_digits_are_called_by_their_names(self, prepare) -> None:
        dataset = prepare("digits", "data.captions=labels", "data.train_limit=20", "data.held_out_limit=2").dataset
        assert [dataset.captions(row) for row in range(22)] == [(str(label),) for label in dataset.labels]

    def test_without_labels_it_is_refused(self, prepare, tree, noise) -> None:
        with pytest.raises(Fatal, match=r"data\.captions: labels: .*: its images have no labels"):
            prepare(tree({"a.png": noise(1)[0]}), *ALL, "data.captions=labels")

    def test_none_reads_no_caption_and_still_the_column_of_groups(self, prepare, tree, noise) -> None:
        a, b = noise(2)
        rows = "a.png,3,one\nb.png,4,two\n"
        files = {"a.png": a, "b.png": b, "b.txt": b"\xff", "metadata.csv": f"file_name,patient,text\n{rows}"}
        done = prepare(tree(files), *ALL, "data.captions=none", "data.split_column=patient")
        assert [done.dataset.captions(row) for row in range(2)] == [(), ()]
        assert done.record.notes == [
            "passed over: 1 .txt (b.txt)",
            "2 values of patient: none is on both sides of the split",
        ]
        assert done.dataset.manifest.caption_duplicates is None

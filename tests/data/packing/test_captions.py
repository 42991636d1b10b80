"""Captions of images: metadata files of any spelling, and text files beside images."""

import json
import unicodedata

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
    assert [done.dataset.caption(row) for row in range(3)] == [None, "ein Hündchen\nim Gras", ""]
    assert done.dataset.manifest.captions == 2
    assert "1 of 3 images have no caption" in done.record.notes


def test_captions_of_a_metadata_csv_are_kept(prepare, tree, noise) -> None:
    a, b = noise(2)
    metadata = '\ufefffile_name,text\na.png,"a dog, sitting"\nb.png,\n'
    done = prepare(tree({"t/a.png": a, "t/b.png": b, "t/metadata.csv": metadata}), *ALL)
    assert [done.dataset.caption(row) for row in range(2)] == ["a dog, sitting", None]


def test_captions_of_the_nearest_metadata_file_win(prepare, tree, noise) -> None:
    files = {
        "metadata.jsonl": '{"file_name": "t/a.png", "text": "far"}\n{"file_name": "t/b.png", "text": "only"}',
        "t/metadata.jsonl": '{"file_name": "a.png", "text": "near"}',
    }
    a, b = noise(2)
    done = prepare(tree({"t/a.png": a, "t/b.png": b, **files}), *ALL)
    assert [done.dataset.caption(row) for row in range(2)] == ["near", "only"]


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
        (b'{"file_name": "\xff"}', "not UTF-8"),
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
    assert [done.dataset.caption(row) for row in range(2)] == ["one", "two"]
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
        ("metadata.jsonl", '{"file_name": "a.png", "captions": ["x"]}', r"line 1: captions \['x'\] is not text"),
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
    assert prepare(source, *ALL).dataset.caption(0) == "dog"


def test_names_match_as_windows_writes_them_and_as_whole_paths(prepare, tree, noise, tmp_path) -> None:
    a, b, c, d = noise(4)
    linked = tmp_path / "link"
    linked.symlink_to(tmp_path / "source")
    names = ["x\\a.png", str(tmp_path / "source/x/b.png"), f"file://{linked}/x/c.png", "./x/../x/d.png"]
    lines = "\n".join(json.dumps({"file_name": name, "text": name[-5]}) for name in names)
    tree({"x/a.png": a, "x/b.png": b, "x/c.png": c, "x/d.png": d, "metadata.jsonl": lines})
    done = prepare(linked, *ALL)
    assert [done.dataset.caption(row) for row in range(4)] == ["a", "b", "c", "d"]


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
    captions = dict(zip(done.names(), (done.dataset.caption(row) for row in range(4)), strict=True))
    assert captions == {"c.png": None, "d.png": "this", "x/a.png": "a dog, sitting", "x/b.jpg.png": "second"}
    assert done.record.notes == [
        "2 captions are text files beside their images",
        "1 of 4 images have no caption",
        "passed over: 3 .txt (README.txt, c.txt, d.txt)",
    ]
    (tmp := done.run.store.path("").parent / "source/x/a.txt").write_text("another")
    assert prepare(tmp.parent.parent, *ALL).dataset.caption(2) == "another"
    tmp.write_bytes(b"\xff")
    with pytest.raises(Fatal, match=r"x/a\.txt: not UTF-8 text"):
        prepare(tmp.parent.parent, *ALL)


def test_a_parquet_file_says_what_to_install(prepare, tree, noise, monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(Fatal, match=r"metadata\.parquet: needs the package pyarrow: pip install pyarrow"):
        prepare(tree({"a.png": noise(1)[0], "metadata.parquet": b"PAR1"}), *ALL)

"""Debian's openclipart: pictures below png, drawings below svg, whose metadata are the captions."""

import pytest

from unecho.components.data.sources.openclipart import drawing_caption
from unecho.components.failure import Fatal
from unecho.components.store import open_store

ALL = ("data.held_out=0", "data.resolution=8")
NAMES = (
    'xmlns="http://www.w3.org/2000/svg" xmlns:cc="http://web.resource.org/cc/" '
    'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'
)


def svg(title: str, *keywords: str, head: str = '<?xml version="1.0"?>', tail: str = "<g/></svg>") -> str:
    items = "".join(f"<rdf:li>{keyword}</rdf:li>" for keyword in keywords)
    agent = "<dc:publisher><cc:Agent><dc:title>A publisher</dc:title></cc:Agent></dc:publisher>"
    return (
        f"{head}<svg {NAMES}><metadata><rdf:RDF><cc:Work><dc:title>{title}</dc:title>"
        f"<dc:subject><rdf:Bag>{items}</rdf:Bag></dc:subject>{agent}</cc:Work></rdf:RDF></metadata>{tail}"
    )


@pytest.mark.parametrize(
    ("drawing", "caption"),
    [
        (svg("Rooster", "chicken", "farm"), "Rooster, chicken, farm"),
        (svg("Rooster", "a", "b", "c", "d", "e"), "Rooster, a, b, c, d"),  # four keywords at most
        (svg("", "a", "b", "c", "d", "e"), "a, b, c, d"),
        (svg("Bird\n  of peace", "", " ", "BIRD OF PEACE", "dove", "Dove"), "Bird of peace, dove"),  # each once
        (svg("HASH(0x8a41038)", "hash", "unsorted", "tool"), "tool"),  # what stood for nothing
        (svg("Caf&#233; &amp; bar"), "Caf\u00e9 & bar"),
        (svg("open", tail="<g><path d='"), "open"),  # what follows the metadata is not read
        (svg(""), None),
        (svg("open")[:200], None),
        (svg("a < b"), None),
        (svg("x").replace("rdf:RDF>", "rdf:Rdf>", 1), None),
        ("<svg/>", None),
        ("", None),
        ("\u0000\u0001", None),
        (svg("x", head='<?xml version="1.0" encoding="none-such"?>'), None),
    ],
)
def test_a_caption_is_the_title_and_the_keywords(drawing: str, caption: str | None) -> None:
    assert drawing_caption(drawing.encode()) == caption


def test_other_encodings_are_read_as_they_say() -> None:
    drawing = svg("Caf\u00e9", head='<?xml version="1.0" encoding="iso-8859-1"?>')
    assert drawing_caption(drawing.encode("latin-1")) == "Caf\u00e9"


@pytest.mark.parametrize(
    "declared",
    [
        '<!ENTITY a "x">',
        '<!ENTITY a SYSTEM "file:///etc/passwd">',
        '<!ENTITY % a "x">',
        '<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;">',
    ],
)
def test_a_drawing_that_declares_an_entity_has_no_caption(declared: str) -> None:
    head = f"<!DOCTYPE svg [{declared}]>"
    assert drawing_caption(svg("&a;", head=head).encode()) is None
    assert drawing_caption(svg("plain", head=head).encode()) is None


def test_captions_are_those_of_the_drawings_below_svg_or_beside(prepare, tree, noise) -> None:
    a, b, c, d = noise(4)
    source = tree(
        {
            "png/birds/a.png": a,
            "png/birds/b.png": b,
            "png/tools/c.png": c,
            "png/tools/d.png": d,
            "png/tools/c.txt": "not a caption here",
            "svg/birds/a.svg": svg("Rooster", "farm"),
            "png/birds/b.svg": svg("Beside"),
            "svg/tools/c.svg": "<svg>broken",
        }
    )
    done = prepare(source, *ALL)
    assert done.names() == ["png/birds/a.png", "png/birds/b.png", "png/tools/c.png", "png/tools/d.png"]
    assert [done.dataset.captions(row) for row in range(4)] == [("Rooster, farm",), ("Beside",), (), ()]
    assert done.dataset.label_names == ["birds", "tools"]
    assert "2 of 4 images have no caption" in done.record.notes
    labels = prepare(source, *ALL, "data.captions=labels")
    assert [labels.dataset.captions(row) for row in (0, 2)] == [("Rooster, farm",), ("tools",)]
    none = prepare(source, *ALL, "data.captions=none")
    assert none.dataset.manifest.captions == 0
    assert not any("caption" in note for note in none.record.notes)
    named = prepare(source, *ALL, "data.layout=openclipart", root="other")
    assert named.dataset.digest == done.dataset.digest


def test_drawings_below_a_buckets_prefix_give_the_data_set_of_a_directory(prepare, tree, noise, s3_root: str) -> None:
    files = {f"png/{number}.png": image for number, image in enumerate(noise(20))}
    files |= {f"svg/{number}.svg": svg(f"no. {number}") for number in range(20)}
    source, bucket = tree(files), open_store(f"{s3_root}/clipart")
    for key in files:
        bucket.put(key, source / key)
    there = prepare(f"{s3_root}/clipart", *ALL)
    assert there.dataset.digest == prepare(source, *ALL).dataset.digest
    assert there.dataset.manifest.captions == 20


def test_another_title_is_another_data_set(prepare, tree, noise) -> None:
    files = {"png/a.png": noise(1)[0], "svg/a.svg": svg("one")}
    first = prepare(tree(files), *ALL)
    second = prepare(tree({**files, "svg/a.svg": svg("another")}), *ALL)
    assert [first.dataset.captions(0), second.dataset.captions(0)] == [("one",), ("another",)]
    assert first.dataset.digest != second.dataset.digest


@pytest.mark.parametrize("drawing", ["svg/a.svg", "png/a.svg", "a.svg"])
def test_images_beside_drawings_without_metadata_are_images_as_ever(prepare, tree, noise, drawing: str) -> None:
    source = tree({"png/a.png": noise(1)[0], "png/a.txt": "from the text", drawing: "<svg/>"})
    done = prepare(source, *ALL)
    assert done.dataset.captions(0) == ("from the text",)
    assert any("1 .svg" in note for note in done.record.notes)


def test_drawings_alone_are_no_images(prepare, tree) -> None:
    with pytest.raises(Fatal, match="no images there"):
        prepare(tree({"svg/a.svg": svg("one")}), *ALL, "data.layout=openclipart")


def test_columns_and_test_files_are_refused(prepare, tree, noise) -> None:
    source = tree({"png/a.png": noise(1)[0], "svg/a.svg": svg("one")})
    with pytest.raises(Fatal, match=r"data\.split_column: who: layout openclipart has no metadata files"):
        prepare(source, *ALL, "data.split_column=who")
    with pytest.raises(Fatal, match=r"data\.official_test: true needs a test file, layout openclipart has none"):
        prepare(source, *ALL, "data.official_test=true")

"""Trees of image files: order, labels, captions, what is passed over, what is refused."""

import os

import numpy as np
import pytest

from unecho.components.failure import Fatal

ALL = ("data.held_out=0",)


def test_rows_are_in_the_order_of_the_sorted_keys(prepare, tree, noise) -> None:
    keys = ["b.png", "B.png", "a/z.png", "a/b/c.png", "é.png", "a-b.png"]
    images = dict(zip(keys, noise(6), strict=True))
    done = prepare(tree(images), *ALL)
    assert (
        done.names() == sorted(keys, key=str.encode) == ["B.png", "a-b.png", "a/b/c.png", "a/z.png", "b.png", "é.png"]
    )
    assert done.dataset.resolution == 32  # the smallest of `auto`
    exact = prepare(tree(images), *ALL, "data.resolution=8")
    assert (exact.images()[:, 0] == [images[name] for name in exact.names()]).all()


def test_the_label_is_the_name_of_the_images_own_folder(prepare, tree, noise) -> None:
    a, b, c, d, e = noise(5)
    done = prepare(tree({"x/dog/1.png": a, "x/cat/2.png": b, "y/dog/3.png": c, "4.png": d, "ape/5.png": e}), *ALL)
    assert done.dataset.label_names == ["ape", "cat", "dog"]
    labels = dict(zip(done.names(), done.dataset.labels.tolist(), strict=True))
    assert labels == {"x/dog/1.png": 2, "x/cat/2.png": 1, "y/dog/3.png": 2, "4.png": -1, "ape/5.png": 0}


@pytest.mark.parametrize("folder", ["", "dogs/", "deep/down/"])
def test_one_folder_makes_no_labels(prepare, tree, noise, folder: str) -> None:
    done = prepare(tree({f"{folder}{number}.png": image for number, image in enumerate(noise(4))}), *ALL)
    assert done.dataset.labels.tolist() == [-1] * 4
    assert done.dataset.label_names == []


def test_labels_can_be_ignored(prepare, tree, noise) -> None:
    a, b = noise(2)
    done = prepare(tree({"cat/1.png": a, "dog/2.png": b}), *ALL, "data.labels=none")
    assert done.dataset.labels.tolist() == [-1, -1]
    assert done.dataset.label_names == []


def test_hidden_and_other_files_are_passed_over_and_counted(prepare, tree, noise) -> None:
    a, b = noise(2)
    files = {
        "a.png": a,
        "b.PNG": b,
        ".c.png": a,
        ".git/d.png": a,
        "__MACOSX/._a.png": a,
        "Thumbs.db": b"x",
        "README": b"x",
    }
    done = prepare(tree(files), *ALL)
    assert done.names() == ["a.png", "b.PNG"]
    assert done.record.notes == [
        "passed over: 2 hidden or system files (.c.png, Thumbs.db); 2 hidden or system folders (.git, __MACOSX); "
        "1 without a suffix (README)"
    ]


class TestAuto:
    @pytest.mark.parametrize(("sizes", "resolution"), [((20, 30), 32), ((64, 65, 300), 64), ((127, 128, 129), 128)])
    def test_resolution_is_the_largest_that_the_median_image_fills(self, prepare, tree, sizes, resolution: int) -> None:
        files = {f"{size}.png": np.zeros((size, size + 9), np.uint8) for size in sizes}
        assert prepare(tree(files), *ALL).dataset.resolution == resolution

    def test_channels_are_grey_when_every_image_is(self, prepare, tree, noise) -> None:
        grey = {f"{number}.png": image for number, image in enumerate(noise(3))}
        assert prepare(tree(grey), *ALL).dataset.channels == 1
        assert prepare(tree({"colour.png": noise(1, 3)[0]}), *ALL).dataset.channels == 3

    def test_a_bad_image_is_not_asked(self, prepare, tree, noise) -> None:
        done = prepare(tree({"0.png": b"x", "1.png": noise(1)[0]}), *ALL, "data.on_bad_image=skip")
        assert (done.dataset.channels, done.dataset.resolution) == (1, 32)


class TestBadImages:
    def test_stop_with_their_name(self, prepare, tree, noise) -> None:
        source = tree({"a.png": noise(1)[0], "x/b.png": b"not one", "x/c.png": b""})
        with pytest.raises(
            Fatal, match=r"source/x/b\.png: not an image of a supported format, but text: remove it, or set data\.on"
        ):
            prepare(source, *ALL)

    def test_are_skipped_counted_and_listed_when_asked(self, prepare, tree, noise) -> None:
        images = {f"{number}.png": image for number, image in enumerate(noise(9))}
        source = tree(images | {"3.png": b"not one", "8.png": b""})
        done = prepare(source, *ALL, "data.on_bad_image=skip", "data.resolution=8", "data.chunk_mib=0.0002")  # 3 rows
        assert done.names() == [f"{number}.png" for number in (0, 1, 2, 4, 5, 6, 7)]
        assert (done.images()[:, 0] == [images[name] for name in done.names()]).all()
        assert done.dataset.manifest.skipped_samples == 2
        assert [(one.name, one.reason) for one in done.dataset.manifest.skipped] == [
            ("3.png", "not an image of a supported format, but text"),
            ("8.png", "an empty file"),
        ]
        assert (
            "2 bad images were skipped: 3.png: not an image of a supported format, but text; 8.png: an empty file"
            in done.record.notes
        )

    def test_skipped_once_stop_when_asked_to_stop(self, prepare, tree, noise) -> None:
        source = tree({"a.png": noise(1)[0], "b.png": b"x"})
        prepare(source, *ALL, "data.on_bad_image=skip")
        with pytest.raises(Fatal, match=r"b\.png"):
            prepare(source, *ALL)

    def test_of_another_size_are_named_where_nothing_is_scaled(self, prepare, tree, noise) -> None:
        with pytest.raises(Fatal, match=r"b\.png: 9 x 9 pixels, not 8 x 8"):
            prepare(tree({"a.png": noise(1)[0], "b.png": noise(1, 1, 9)[0]}), "data.resize=none", "data.resolution=8")


class TestSource:
    def test_that_does_not_exist(self, prepare, tmp_path) -> None:
        with pytest.raises(Fatal, match=r"data\.source: .*/nowhere: no such directory"):
            prepare(tmp_path / "nowhere")

    def test_without_images(self, prepare, tree) -> None:
        with pytest.raises(Fatal, match=r"data\.source: .*no images there \(found a\.txt: text\)"):
            prepare(tree({"a.txt": "x"}))

    def test_of_which_nothing_can_be_read(self, prepare, tree) -> None:
        source = tree({"a.png": b"x", "b.png": b"y"})
        with pytest.raises(Fatal, match=r"none of the 2 images looked at can be read; .*a\.png: not an image"):
            prepare(source, "data.on_bad_image=skip")
        with pytest.raises(Fatal, match="none of its 2 images can be read"):
            prepare(source, "data.on_bad_image=skip", "data.resolution=8", "data.channels=1")

    def test_that_is_prepared_is_not_read_again(self, prepare, tree, noise) -> None:
        source = tree({f"{number}.png": image for number, image in enumerate(noise(6))})
        first = prepare(source, *ALL)
        file, stat = source / "0.png", (source / "0.png").stat()
        file.write_bytes(b"x" * stat.st_size)  # would be a bad image, if anybody looked
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        again = prepare(source, *ALL)
        assert again.record.digest == first.record.digest
        assert again.record.notes == first.record.notes
        with pytest.raises(Fatal, match=r"0\.png"):
            prepare(source, *ALL, root="another")

    def test_files_whose_names_are_not_utf8_are_taken(self, prepare, tree, noise, tmp_path) -> None:
        source = tree({"a.png": noise(1)[0]})
        os.rename(os.fsencode(source / "a.png"), os.fsencode(source) + b"/\xff.png")
        assert prepare(source, *ALL).names() == ["\\xff.png"]


def test_exact_duplicates_are_found_and_named(prepare, tree, noise) -> None:
    a, b, c, d = noise(4)
    files = {"0.png": a, "1.png": b, "2.png": c, "3.png": a, "4.bmp": a, "5.png": d, "6.png": c}
    done = prepare(tree(files), *ALL)
    found = done.dataset.manifest.duplicates
    assert (found.groups, found.samples) == (2, 5)
    assert found.first == [["0.png", "3.png", "4.bmp"], ["2.png", "6.png"]]
    assert done.record.notes == ["5 samples are exact duplicates, in 2 sets: 0.png = 3.png = 4.bmp; 2.png = 6.png"]

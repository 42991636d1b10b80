"""Which layout a source has, and which folders are classes: by content, and over the whole of it."""

import gzip
import pickle

import numpy as np
import pytest
from PIL import Image

from unecho.components.data.sources.folders import classes_of
from unecho.components.failure import Fatal

ALL = ("data.held_out=0", "data.resolution=8")
CIFAR = b"".join(bytes([label]) + bytes([label]) * 3072 for label in range(5))
IDX = bytes([0, 0, 8, 3, 0, 0, 0, 5, 0, 0, 0, 8, 0, 0, 0, 8]) + bytes(range(64)) * 5


@pytest.mark.parametrize("called", ["data_batch_1.bin", "train.bin", "train-images-idx3-ubyte"])
@pytest.mark.parametrize("content", [b"", b"weights", bytes([255]) * 3073 * 2, bytes([255]) * 3074])
def test_a_file_that_is_only_called_like_another_layouts_leaves_images_images(
    prepare, tree, noise, called: str, content: bytes
) -> None:
    source = tree({"0.png": noise(1)[0], "a": b"", called: content})
    assert prepare(source, *ALL).names() == ["0.png"]


@pytest.mark.parametrize(("called", "content"), [("data_batch_1.bin", CIFAR), ("train-images-idx3-ubyte", IDX)])
def test_of_two_layouts_the_one_of_more_files_is_taken_and_the_other_is_told(
    prepare, tree, noise, called: str, content: bytes
) -> None:
    pictures = {f"{number}.png": image for number, image in enumerate(noise(3))}
    done = prepare(tree({called: content, **pictures}), *ALL)
    assert done.names() == ["0.png", "1.png", "2.png"]
    assert "files of" in done.record.notes[0]
    assert "layout are passed over: data.layout=" in done.record.notes[0]
    done = prepare(tree({called: content, "0.png": noise(1)[0]}, "other"), *ALL)
    assert done.dataset.count == 5
    assert "1 image files are passed over: data.layout=images reads them" in done.record.notes


def test_layouts_are_found_behind_any_number_of_other_files(prepare, tree) -> None:
    files = {f"a/{number:04}.txt": b"x" for number in range(1200)}
    assert prepare(tree({**files, "b/data_batch_1.bin": CIFAR}), *ALL).dataset.label_names[:2] == ["0", "1"]


@pytest.mark.parametrize("layout", ["auto", "cifar10", "images"])
def test_cifars_python_version_is_told_which_one_is_read(prepare, tree, layout: str) -> None:
    batch = pickle.dumps({b"data": np.zeros((2, 3072), np.uint8), b"labels": [0, 1]})
    source = tree({"data_batch_1": batch, "data_batch_2": batch, "batches.meta": pickle.dumps({})})
    with pytest.raises(Fatal, match=r"a Python pickle: CIFAR is read in its binary version, cifar-10-binary\.tar\.gz"):
        prepare(source, *ALL, f"data.layout={layout}")


def test_an_archive_in_the_place_of_images_is_told_to_be_one(prepare, tree) -> None:
    with pytest.raises(Fatal, match=r"found cifar-10-python\.tar\.gz: a gzip file: that holds pickles; take CIFAR's"):
        prepare(tree({"cifar-10-python.tar.gz": gzip.compress(b"x")}), *ALL)
    with pytest.raises(Fatal, match=r"found photos\.zip: a zip archive: unpack it"):
        prepare(tree({"photos.zip": b"PK\x03\x04" + bytes(30)}, "zipped"), *ALL)


@pytest.mark.parametrize("packed", [0, 1, 2])
def test_idx_files_are_unpacked_as_often_as_they_are_packed_whatever_their_suffix(prepare, tree, packed: int) -> None:
    data = IDX
    for _ in range(packed):
        data = gzip.compress(data)
    for suffix in ("", ".gz"):
        done = prepare(tree({f"train-images-idx3-ubyte{suffix}": data}, f"source{suffix}"), *ALL)
        assert (done.images() == np.arange(64, dtype=np.uint8).reshape(8, 8)).all()


def test_auto_looks_at_images_of_the_whole_source(prepare, tree, noise) -> None:
    source = tree({f"a/{number:04}.png": image for number, image in enumerate(noise(1000))})
    (source / "b").mkdir()
    Image.fromarray(noise(1, 3, 40)[0]).save(source / "b" / "0.png")
    assert prepare(source, "data.held_out=0").dataset.channels == 3


@pytest.mark.parametrize(
    ("folders", "names", "labels"),
    [
        (["train", "test"], [], [-1, -1]),
        (["Training", "validation"], [], [-1, -1]),
        (["train2017", "val2017"], [], [-1, -1]),
        (["train/cat", "train/dog", "test/cat"], ["cat", "dog"], [0, 1, 0]),
        (["cat/train", "cat/test", "dog/train", "dog/test"], ["cat", "dog"], [0, 0, 1, 1]),
        (["seg_train/sea", "seg_test/sea", "seg_train/ice"], ["ice", "sea"], [1, 1, 0]),
        (["train", "test", "cat"], ["cat"], [-1, -1, 0]),
        (["train", "car", "bus"], ["bus", "car", "train"], [2, 1, 0]),  # a vehicle
        (["train/train", "train/car", "val/train", "val/car"], ["car", "train"], [1, 0, 1, 0]),
        (["", "cat"], ["cat"], [-1, 0]),
        (["only"], [], [-1]),
    ],
)
def test_folders_that_name_a_split_are_no_labels_and_those_that_name_a_class_are(folders, names, labels) -> None:
    found = classes_of(folders)
    assert (found.names, found.label) == (names, labels)


def test_images_of_a_test_split_are_told(prepare, tree, noise) -> None:
    a, b, c = noise(3)
    done = prepare(tree({"train/cat/0.png": a, "train/dog/1.png": b, "test/dog/2.png": c}), *ALL)
    assert done.dataset.labels.tolist() == [1, 0, 1]
    assert done.record.notes == [
        "1 images lie in folders called like a test split (test/dog) and are taken like the others: to keep them "
        "apart, set data.source to the folder of the training images"
    ]

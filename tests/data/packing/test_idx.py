"""IDX files, written by hand as MNIST's page describes them."""

import gzip
import struct

import numpy as np
import pytest

from unecho.components.failure import Fatal

ALL = ("data.held_out=0",)


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


IMAGES = np.random.default_rng(0).integers(0, 256, (11, 28, 28), dtype=np.uint8)
LABELS = np.arange(11, dtype=np.uint8) % 4


@pytest.mark.parametrize("form", ["plain", "gzip", "both"])
def test_the_training_file_is_taken_with_its_labels(prepare, tree, form: str) -> None:
    plain = {"train-images-idx3-ubyte": idx(IMAGES), "train-labels-idx1-ubyte": idx(LABELS)}
    files = {"t10k-images-idx3-ubyte": idx(IMAGES[:2]), "t10k-labels-idx1-ubyte": idx(LABELS[:2])}
    if form != "gzip":
        files |= plain
    if form != "plain":
        files |= {f"{name}.gz": gzip.compress(data) for name, data in plain.items()}
    done = prepare(tree({f"raw/{name}": data for name, data in files.items()}), *ALL)
    assert (done.images()[:, 0] == IMAGES).all()
    assert done.dataset.labels.tolist() == LABELS.tolist()
    assert done.dataset.label_names == ["0", "1", "2", "3"]
    assert (done.dataset.channels, done.dataset.resolution) == (1, 28)
    assert done.names()[3] == f"raw/train-images-idx3-ubyte{'.gz' if form == 'gzip' else ''}#3"


def test_the_official_test_file_is_the_held_out_part(prepare, tree) -> None:
    files = {"train-images-idx3-ubyte": idx(IMAGES), "train-labels-idx1-ubyte": idx(LABELS)}
    files |= {
        "t10k-images-idx3-ubyte.gz": gzip.compress(idx(255 - IMAGES[:3])),
        "t10k-labels-idx1-ubyte": idx(LABELS[:3]),
    }
    done = prepare(tree(files), "data.official_test=true")
    assert done.dataset.held_out.tolist() == [False] * 11 + [True] * 3
    assert (done.images()[:, 0] == np.concatenate([IMAGES, 255 - IMAGES[:3]])).all()
    assert done.dataset.labels.tolist() == [*LABELS, *LABELS[:3]]
    assert done.names()[12] == "t10k-images-idx3-ubyte.gz#1"
    with pytest.raises(Fatal, match=r"^data.official_test: .*: no t10k-images-idx3-ubyte\(\.gz\)"):
        prepare(tree({"train-images-idx3-ubyte": idx(IMAGES)}, "alone"), "data.official_test=true")


def test_without_labels_it_has_none(prepare, tree) -> None:
    done = prepare(tree({"my-images.idx3-ubyte": idx(IMAGES)}), *ALL)
    assert done.dataset.labels.tolist() == [-1] * 11
    assert "my-images.idx3-ubyte: no labels beside it" in done.record.notes


def test_it_is_scaled_and_coloured_as_configured(prepare, tree) -> None:
    source = tree({"train-images-idx3-ubyte": idx(IMAGES)})
    assert prepare(source, *ALL, "data.resolution=32", "data.channels=3").images().shape == (11, 3, 32, 32)


@pytest.mark.parametrize(
    ("files", "says"),
    [
        (
            {"train-images-idx3-ubyte": idx(IMAGES)[:-1]},
            r"idx3-ubyte: 8639 bytes, its header of shape \(11, 28, 28\) says 8640",
        ),
        ({"train-images-idx3-ubyte": idx(LABELS)}, "not an IDX file of unsigned bytes in 3 dimensions"),
        ({"train-images-idx3-ubyte": b""}, "not an IDX file"),
        ({"train-images-idx3-ubyte.gz": gzip.compress(idx(IMAGES))[:-9]}, r"ubyte\.gz: not a whole gzip file"),
        (
            {"train-images-idx3-ubyte": idx(IMAGES), "train-labels-idx1-ubyte": idx(LABELS[:9])},
            "idx1-ubyte: 9 labels for 11 images",
        ),
        ({"t10k-images-idx3-ubyte": idx(IMAGES)}, r"no train-images-idx3-ubyte\(\.gz\)"),
        ({"a-images-idx3-ubyte": idx(IMAGES), "b-images-idx3-ubyte": idx(IMAGES)}, "several IDX files: a-images"),
    ],
)
def test_what_is_not_its_format_is_named(prepare, tree, files, says: str) -> None:
    with pytest.raises(Fatal, match=says):
        prepare(tree(files), "data.layout=idx")

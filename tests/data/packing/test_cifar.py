"""CIFAR's binary files, written by hand as its page describes them."""

from pathlib import Path

import numpy as np
import pytest

from unecho.components.config import resolve
from unecho.components.data.prepare import survey
from unecho.components.failure import Fatal

ALL = ("data.held_out=0",)


def records(count: int, seed: int, labels: int = 1) -> tuple[bytes, np.ndarray, list[list[int]]]:
    """Bytes of a file, its images [n, 3, 32, 32] and label bytes."""
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (count, 3, 32, 32), dtype=np.uint8)
    given = random.integers(0, 10, (count, labels)).tolist()
    data = b""
    for label, (red, green, blue) in zip(given, images, strict=True):
        data += bytes(label) + red.tobytes() + green.tobytes() + blue.tobytes()
    return data, images, given


@pytest.fixture
def cifar10(tree) -> tuple[Path, np.ndarray, list[int]]:
    files, images, labels = {}, [], []
    for batch in (1, 2, 3):
        data, some, given = records(7, batch)
        files[f"cifar-10-batches-bin/data_batch_{batch}.bin"] = data
        images.append(some)
        labels += [label[0] for label in given]
    classes = [f"class {label}" for label in range(10)]
    files |= {
        "cifar-10-batches-bin/test_batch.bin": records(5, 9)[0],
        "cifar-10-batches-bin/batches.meta.txt": "\n".join(classes) + "\n\n",
    }
    return tree(files), np.concatenate(images), labels


@pytest.mark.parametrize("layout", ["auto", "cifar10"])
def test_cifar10_is_its_training_files_in_order(prepare, cifar10, layout: str) -> None:
    source, images, labels = cifar10
    done = prepare(source, *ALL, f"data.layout={layout}", "data.chunk_mib=0.01")  # 3 rows: chunks across files
    assert (done.images() == images).all()
    assert done.dataset.labels.tolist() == labels
    assert done.dataset.label_names == [f"class {label}" for label in range(10)]
    assert done.names()[8] == "cifar-10-batches-bin/data_batch_2.bin#1"
    assert "only the training files are read" in done.record.notes[0]


@pytest.mark.parametrize("held_out", [0.0, 0.5])
def test_the_official_test_file_is_the_held_out_part_and_all_training_records_train(
    prepare, cifar10, held_out: float
) -> None:
    source, images, labels = cifar10
    done = prepare(source, f"data.held_out={held_out}", "data.official_test=true", "data.chunk_mib=0.01")
    _, test_images, test_labels = records(5, 9)
    assert done.dataset.held_out.tolist() == [False] * 21 + [True] * 5
    assert (done.images() == np.concatenate([images, test_images])).all()
    assert done.dataset.labels.tolist() == labels + [label for (label,) in test_labels]
    assert done.names()[22] == "cifar-10-batches-bin/test_batch.bin#1"
    assert done.record.notes[0] == "the held-out images are the test file's"
    planned = survey(resolve(settings=(f"data.source={source}", "data.official_test=true")).data)
    assert (planned.train_samples, planned.held_out_samples) == (21, 5)


def test_a_test_file_that_is_asked_for_and_not_there_is_named(prepare, tree, noise) -> None:
    with pytest.raises(Fatal, match=r"^data.official_test: .*: no test_batch\.bin: put it there, or set"):
        prepare(tree({"data_batch_1.bin": records(4, 0)[0]}), "data.official_test=true")
    for source, layout in (("digits", "digits"), (tree({"0.png": noise(1)[0]}, "pictures"), "images")):
        with pytest.raises(Fatal, match=f"^data.official_test: true needs a test file, layout {layout} has none"):
            prepare(source, "data.official_test=true")


def test_cifar100_takes_the_fine_label(prepare, tree) -> None:
    data, images, labels = records(6, 0, labels=2)
    done = prepare(tree({"train.bin": data, "test.bin": records(2, 1, labels=2)[0]}), *ALL)
    assert (done.images() == images).all()
    assert done.dataset.labels.tolist() == [fine for _, fine in labels]
    assert len(done.dataset.label_names) == 100


def test_it_is_scaled_and_made_grey_as_configured(prepare, cifar10) -> None:
    source, images, _ = cifar10
    done = prepare(source, *ALL, "data.channels=1")
    luma = (images * np.array([0.299, 0.587, 0.114])[:, None, None]).sum(1)
    assert np.abs(done.images()[:, 0] - luma).max() <= 1
    assert prepare(source, *ALL, "data.resolution=16").images().shape == (21, 3, 16, 16)


@pytest.mark.parametrize(
    ("files", "says"),
    [
        (
            {"data_batch_1.bin": records(2, 0)[0][:-1]},
            r"data_batch_1\.bin: 6145 bytes is no multiple of 3073: truncated",
        ),
        ({"data_batch_1.bin": bytes([10]) + bytes(3072)}, r"data_batch_1\.bin: record 0 has label 10"),
        ({"test_batch.bin": records(2, 0)[0]}, r"no data_batch_1\.bin to data_batch_5\.bin"),
    ],
)
def test_what_is_not_its_format_is_named(prepare, tree, files, says: str) -> None:
    with pytest.raises(Fatal, match=says):
        prepare(tree(files), "data.layout=cifar10")

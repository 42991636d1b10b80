"""A source below a bucket's prefix is a source like any other."""

from pathlib import Path

import numpy as np
import pytest

from unecho.components.data import decoding
from unecho.components.failure import Fatal
from unecho.components.store import open_store


@pytest.fixture
def files(tree, noise) -> Path:
    images = {f"{'ab'[number % 2]}/{number:03}.png": image for number, image in enumerate(noise(150))}
    lines = [f'{{"file_name": "{name}", "text": "caption of {name}"}}' for name in images]
    return tree({**images, "metadata.jsonl": "\n".join(lines), ".hidden/x.png": b"x"})


def upload(files: Path, url: str) -> None:
    bucket = open_store(url)
    for path in files.rglob("*"):
        if path.is_file():
            bucket.put(path.relative_to(files).as_posix(), path)


@pytest.mark.parametrize("in_process", [0, 1 << 30], ids=["workers", "in process"])
def test_a_prefix_gives_the_data_set_of_the_same_files_in_a_directory(
    prepare, files: Path, s3_root: str, monkeypatch, in_process: int
) -> None:
    monkeypatch.setattr(decoding, "IN_PROCESS_BYTES", in_process)
    upload(files, f"{s3_root}/images")
    settings = ("data.resolution=8", "data.held_out=0.2", "data.chunk_mib=0.001", "execution.workers=2")
    here = prepare(files, *settings)
    there = prepare(f"{s3_root}/images", *settings, store=open_store(f"{s3_root}/root"))
    assert there.record.digest == here.record.digest
    assert there.record.notes == here.record.notes
    some = np.random.default_rng(0).permutation(150)[:60]
    assert (there.dataset.rows(some) == here.dataset.rows(some)).all()
    assert there.dataset.captions(3) == (f"caption of {there.dataset.name(3)}",)
    assert list(open_store(f"{s3_root}/root").list("datasets/progress/")) == []


def test_a_bad_image_is_named_with_its_address(prepare, files: Path, s3_root: str) -> None:
    upload(files, f"{s3_root}/images")
    open_store(f"{s3_root}/images").put("a/004.png", b"not one")
    with pytest.raises(Fatal, match=rf"{s3_root}/images/a/004\.png: not an image of a supported format"):
        prepare(f"{s3_root}/images", "data.resolution=8")


def test_an_empty_prefix_says_so(prepare, s3_root: str) -> None:
    with pytest.raises(Fatal, match=rf"data\.source: {s3_root}/nothing: no images there"):
        prepare(f"{s3_root}/nothing")

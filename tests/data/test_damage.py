"""A missing, truncated or altered object is named, and so is the sample."""

import json

import numpy as np
import pytest

from unecho.components.data import Dataset
from unecho.components.failure import Fatal
from unecho.components.store.directory import DirectoryStore

DIGEST = "d" * 64


@pytest.fixture
def packed(pack, noise):
    return pack(noise(30), [10, 10, 10])


def flip(path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("indices", [range(30), [13], [25, 13, 2]], ids=["all", "one", "some"])
def test_an_altered_byte_is_named_with_object_and_sample(packed, indices) -> None:
    dataset = packed.open()
    path = packed.root / packed.chunk_keys[1]
    flip(path, path.stat().st_size - 7 * 192 + 5)  # in the fourth row of ten
    with pytest.raises(
        Fatal, match=rf"{packed.chunk_keys[1]}: altered: sample 13 \(13\.png\) does not have the pixels"
    ):
        dataset.rows(indices)
    others = [row for row in range(30) if row != 13]
    assert (dataset.rows(others) == packed.images[others]).all()  # what is whole can be read


def test_an_altered_sample_is_named_by_its_number_where_the_names_are_gone_too(packed) -> None:
    dataset = packed.open()
    flip(packed.root / packed.chunk_keys[0], -1)
    next(packed.root.rglob("names.jsonl.gz")).unlink()
    with pytest.raises(Fatal, match="altered: sample 9 does not have"):
        dataset.rows([9])


def test_a_truncated_chunk_is_named(packed) -> None:
    path = packed.root / packed.chunk_keys[2]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(Fatal, match=f"{packed.chunk_keys[2]}: truncated"):
        packed.open().rows([29])


def test_a_missing_chunk_is_named(packed) -> None:
    (packed.root / packed.chunk_keys[2]).unlink()
    with pytest.raises(Fatal, match=packed.chunk_keys[2]):
        packed.open().rows(range(30))


def test_an_altered_or_missing_index_is_named(packed) -> None:
    path = next(packed.root.rglob("index.safetensors"))
    flip(path, -1)
    with pytest.raises(Fatal, match=r"index\.safetensors: altered: SHA-256"):
        packed.open()
    path.unlink()
    with pytest.raises(Fatal, match=r"index\.safetensors"):
        packed.open()


def test_a_missing_data_set_is_named_with_the_step_that_makes_it(tmp_path) -> None:
    with pytest.raises(Fatal, match=rf"datasets/{DIGEST}\.json: missing: step prepare makes it"):
        Dataset.open(DirectoryStore(tmp_path), DIGEST)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda manifest: manifest.update(digest="e" * 64), "altered: it says data set eeee"),
        (lambda manifest: manifest["chunks"].pop(), "altered: .* with 30 samples, 20 of them in chunks"),
        (lambda manifest: manifest.pop("names"), "altered: names: Field required"),
        (
            lambda manifest: manifest.update(samples=29) or manifest["chunks"][0].update(rows=9),
            "label does not have 29",
        ),
    ],
)
def test_an_altered_manifest_is_named(packed, change, says: str) -> None:
    path = packed.root / f"datasets/{DIGEST}.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))
    with pytest.raises(Fatal, match=says):
        packed.open()


def test_names_and_captions_are_read_one_block_at_a_time(pack) -> None:
    packed = pack(np.zeros((3000, 1, 8, 8), np.uint8), [3000])
    dataset = packed.open()
    for row in (0, 1023, 1024, 1025, 2999):
        assert dataset.name(row) == f"{row}.png"
        assert dataset.captions(row) == ((f"no. {row}",) if row % 2 else ())
    assert len(packed.store.reads) == 3
    with pytest.raises(IndexError):
        dataset.name(3000)
    with pytest.raises(IndexError):
        dataset.name(-1)


def test_altered_names_are_named(pack) -> None:
    packed = pack(np.zeros((3000, 1, 8, 8), np.uint8), [3000])
    flip(next(packed.root.rglob("names.jsonl.gz")), 200)
    dataset = packed.open()
    with pytest.raises(Fatal, match=r"names\.jsonl\.gz: altered: not the names that were written"):
        dataset.name(5)
    assert dataset.name(1500) == "1500.png"

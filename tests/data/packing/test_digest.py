"""The digest: what it depends on, and what it does not."""

import gzip
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from unecho.components.data import decoding
from unecho.components.failure import Fatal

SETTINGS = ("data.resolution=8", "data.held_out=0.2")


@pytest.fixture
def files(noise) -> dict[str, np.ndarray]:
    return {f"{'ab'[number % 2]}/{number:02}.png": image for number, image in enumerate(noise(20))}


def captioned(files: dict, text: str = "one") -> dict:
    lines = [f'{{"file_name": "{name}", "text": "{text} {name}"}}' for name in files]
    return {**files, "metadata.jsonl": "\n".join(lines)}


@pytest.mark.parametrize("setting", ["data.chunk_mib=0.0003", "data.on_bad_image=skip", "data.layout=images", "seed=5"])
def test_does_not_depend_on_how_the_data_set_is_packed(prepare, tree, files, setting: str) -> None:
    source = tree(files)
    plain, other = prepare(source, *SETTINGS), prepare(source, *SETTINGS, setting, root="other")
    assert other.record.digest == plain.record.digest
    assert (other.images() == plain.images()).all()


def test_does_not_depend_on_where_the_source_is_or_in_which_order_it_was_written(prepare, tree, files) -> None:
    there = tree(dict(reversed(files.items())), name="elsewhere")
    assert prepare(there, *SETTINGS).record.digest == prepare(tree(files), *SETTINGS, root="other").record.digest


def test_does_not_depend_on_the_number_of_workers(prepare, tree, files, monkeypatch) -> None:
    source = tree(files)
    one = prepare(source, *SETTINGS)
    monkeypatch.setattr(decoding, "IN_PROCESS_BYTES", 0)
    two = prepare(source, *SETTINGS, "execution.workers=2", "data.chunk_mib=0.0003", root="other")
    assert two.record.digest == one.record.digest
    assert (two.images() == one.images()).all()


def test_depends_on_pixels_labels_captions_split_and_prepare_config(prepare, tree, files) -> None:
    first = next(iter(files))
    brighter = {**files, first: files[first] // 2}
    swapped = {("b/99.png" if name == first else name): image for name, image in files.items()}
    renamed_class = {name.replace("b/", "c/"): image for name, image in files.items()}
    digests = [
        prepare(tree(files, "plain"), *SETTINGS).record.digest,
        prepare(tree(brighter, "pixels"), *SETTINGS).record.digest,
        prepare(tree(swapped, "labels"), *SETTINGS).record.digest,
        prepare(tree(renamed_class, "names"), *SETTINGS).record.digest,
        prepare(tree(captioned(files), "captions"), *SETTINGS).record.digest,
        prepare(tree(captioned(files, "two"), "other captions"), *SETTINGS).record.digest,
        prepare(tree(files, "plain"), *SETTINGS, "data.split_seed=1").record.digest,
        prepare(tree(files, "plain"), *SETTINGS, "data.held_out=0.3").record.digest,
        prepare(tree(files, "plain"), *SETTINGS, "data.train_limit=10").record.digest,
        prepare(tree(files, "plain"), *SETTINGS, "data.labels=none").record.digest,
        prepare(tree(files, "plain"), *SETTINGS, "data.background=0").record.digest,
        prepare(tree(files, "plain"), *SETTINGS, "data.channels=3").record.digest,
    ]
    assert len(set(digests)) == len(digests)


NAMES = [f"{'ab'[number % 2]}/{number:02}.png" for number in range(20)]


@pytest.mark.parametrize(
    ("beside", "settings", "captions", "digest"),
    [
        ({}, (), {}, "bebb8b8cd1a5e0f30790d1f7b07a61f5b38f0c5319e8501255b76580cabb078f"),
        (
            {"metadata.jsonl": "\n".join(json.dumps({"file_name": n, "text": f"one {n}"}) for n in NAMES[:15])},
            (),
            {name: f"one {name}" for name in NAMES[:15]},
            "6ec1785bb32057626568f7faf27d2ae84d279d15878e2ea7f73a07416f91bc39",
        ),
        (
            {
                "metadata.csv": "file_name,caption,patient\n"
                + "".join(f"{name},a dog {row},p{row // 4}\n" for row, name in enumerate(NAMES))
            },
            ("data.split_column=patient",),
            {name: f"a dog {row}" for row, name in enumerate(NAMES)},
            "8704428a6f9af604221f3de664061a5352964ce01b6646a44c98a524671b57a4",
        ),
        (
            {f"{name[:-4]}.txt": f" first {name}\nsecond\n" for name in NAMES},
            (),
            {name: f"first {name}\nsecond" for name in NAMES},
            "1e54fe4adce4c88cc8cadea83ff2581f779db64770fac7f0bd462aa7758027bd",
        ),
    ],
    ids=["no captions", "jsonl", "csv", "text files"],
)
def test_of_samples_with_one_caption_and_their_names_are_what_they_were_before_there_were_several(
    prepare, tree, files, beside, settings, captions, digest
) -> None:
    done = prepare(tree({**files, **beside}), *SETTINGS, *settings)  # digests of the code before that, written down
    assert done.record.digest == digest
    lines = [json.dumps({"source": name, "caption": captions.get(name)}) + "\n" for name in sorted(NAMES)]
    assert gzip.decompress(done.run.store.get(done.dataset.manifest.names.key)) == "".join(lines).encode()


def test_depends_on_each_of_several_captions_and_their_order(prepare, tree, files) -> None:
    def of(name: str, *captions: object) -> str:
        lines = [json.dumps({"file_name": key, "text": text}) for key, text in zip(files, captions, strict=False)]
        return prepare(tree({**files, "metadata.jsonl": "\n".join(lines)}, name), *SETTINGS).record.digest

    given = [(["a", "b"],), (["b", "a"],), ("a", "b"), (["ab"],), (["a"],), (["a", "b", "c"],)]
    assert len({of(str(number), *captions) for number, captions in enumerate(given)}) == len(given)
    assert of("one of a list", ["a"]) == of("one", "a")


@pytest.mark.parametrize(
    "setting", ["data.captions=labels", "data.captions=none", "data.text_lines=first", "data.split_by=caption"]
)
def test_depends_on_what_is_a_caption_where_that_is_said(prepare, tree, files, setting: str) -> None:
    source = tree(captioned(files))
    assert prepare(source, *SETTINGS, setting).record.digest != prepare(source, *SETTINGS).record.digest


def test_of_resolved_fields_is_that_of_the_same_fields_given(prepare, tree, files) -> None:
    auto = prepare(tree(files), "data.held_out=0.2")
    given = prepare(tree(files), "data.held_out=0.2", "data.resolution=32", "data.channels=1", root="other")
    assert auto.record.digest == given.record.digest


class TestWorkers:
    """Decoding in other processes."""

    @pytest.fixture(autouse=True)
    def _always(self, monkeypatch) -> None:
        monkeypatch.setattr(decoding, "IN_PROCESS_BYTES", 0)

    def test_name_the_first_bad_image_in_order(self, prepare, tree, files) -> None:
        source = tree({**files, "a/04.png": b"x", "b/05.png": b""})
        with pytest.raises(Fatal, match=r"a/04\.png: not an image"):
            prepare(source, *SETTINGS, "execution.workers=2")

    def test_know_the_decoder_and_not_torch(self) -> None:
        code = "import unecho.components.data.decoding, sys; sys.exit(bool({'torch', 'sklearn'} & set(sys.modules)))"
        subprocess.run([sys.executable, "-c", code], check=True, cwd=os.getcwd())

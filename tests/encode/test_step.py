"""Encodings are made once for all that they depend on, by any number of parts, and never read for anything else."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.captioned import captioned, tiny_base, write_images
from unecho.components.config import RunConfig
from unecho.components.data.encodings import EncodedRows
from unecho.components.diffusion.encoders import ImageEncoder, TextEncoder
from unecho.components.encode.images import Images
from unecho.components.encode.step import encode
from unecho.components.failure import Fatal
from unecho.components.plan.step import plan
from unecho.components.progress import Silent
from unecho.components.run import EncodingRecord, Run
from unecho.components.run.gc import Manifests, leftovers
from unecho.components.run.tensors import load_state
from unecho.components.steps import run_step

STEP = "unecho.components.encode.step"


def prepared(root: Path, name: str, config: RunConfig) -> Run:
    run = Run.at(str(root), name)
    plan(run, config)
    run_step("prepare", run)
    return run


def encoded(root: Path, name: str, config: RunConfig) -> list[EncodingRecord]:
    """The encodings of a new run."""
    run = prepared(root, name, config)
    return [encode(run, part, Silent()) for part in range(config.encode.parts)]


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of a few rows, so that a small data set has several."""
    monkeypatch.setattr(f"{STEP}._MOST_SAMPLES", 5)
    monkeypatch.setattr(f"{STEP}._MOST_TEXTS", 9)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, EncodingRecord]:
    root = tmp_path_factory.mktemp("first")
    return root, encoded(root, "a", captioned())[0]


class Counting:
    """Counts what encoders are given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.images = self.texts = 0
        of_images, of_texts = ImageEncoder.__call__, TextEncoder.__call__

        def images(encoder: ImageEncoder, given: torch.Tensor) -> torch.Tensor:
            self.images += len(given)
            return of_images(encoder, given)

        def texts(encoder: TextEncoder, given: list[str]) -> torch.Tensor:
            self.texts += len(given)
            return of_texts(encoder, given)

        monkeypatch.setattr(ImageEncoder, "__call__", images)
        monkeypatch.setattr(TextEncoder, "__call__", texts)


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> Counting:
    return Counting(monkeypatch)


def test_every_number_of_parts_writes_the_same(small_blocks: None, tmp_path: Path) -> None:
    one = encoded(tmp_path / "one", "a", captioned())
    three = encoded(tmp_path / "three", "a", captioned("encode.parts=3"))
    assert len(one[0].latents) == 5, "24 samples, 5 a block"
    for blocks in ("latents", "texts"):
        whole = {block.number: block for block in getattr(one[0], blocks)}
        parts = [block for record in three for block in getattr(record, blocks)]
        assert all(len(getattr(record, blocks)) > 0 for record in three)
        assert {block.number: block for block in parts} == whole
    assert three[0].objects["index.safetensors"].sha256 == one[0].objects["index.safetensors"].sha256


def test_more_parts_than_blocks_leave_some_with_nothing(tmp_path: Path) -> None:
    records = encoded(tmp_path, "a", captioned("encode.parts=3"))
    assert [len(record.latents) for record in records] == [1, 0, 0]


def test_blocks_that_are_there_are_taken_by_another_run(first: tuple[Path, EncodingRecord], counting: Counting) -> None:
    root, record = first
    again = encoded(root, "b", captioned("train.learning_rate=0.01", "seed=5"))[0]
    assert (counting.images, counting.texts) == (0, 0)
    assert (again.latents, again.texts) == (record.latents, record.texts)


def test_after_a_break_only_what_is_missing_is_encoded(small_blocks: None, tmp_path: Path, counting: Counting) -> None:
    run = prepared(tmp_path, "a", captioned())
    whole = encode(run, 0, Silent())
    seen = counting.images
    run.store.delete([run.key(EncodingRecord, 0), f"encodings/{whole.latents_key}/latents/3.json"])
    again = encode(run, 0, Silent())
    assert counting.images - seen == 5 * seen // 24, "one block of five samples"
    assert again.objects == whole.objects


@pytest.mark.parametrize(
    ("settings", "latents", "texts"),
    [
        (("encode.precision=bfloat16",), True, True),
        (("encode.batch_size=8",), True, True),
        (("encode.variants=3",), True, True),
        (("train.horizontal_flip=false",), True, False),
        (("taa.shift_pixels=2",), True, False),
        (("taa.augmentations=shift,randaugment",), False, True),
        (("taa.augmentations=shift,repeat_word",), True, False),
        (("data.resolution=32",), True, None),
        (("data.train_limit=20",), True, True),
        (("lora.enabled=true", "iet.rounds=5", "train.precision=bfloat16"), False, False),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_what_they_depend_on_is_in_their_keys_and_no_more(
    settings: tuple[str, ...], latents: bool, texts: bool | None, first: tuple[Path, EncodingRecord], tmp_path: Path
) -> None:
    other = encoded(tmp_path, "b", captioned(*settings))[0]
    assert (other.latents_key != first[1].latents_key) == latents
    if texts is not None:  # another resolution has other samples held out
        assert (other.texts_key != first[1].texts_key) == texts


@pytest.mark.parametrize(("component", "latents"), [("vae", True), ("text_encoder", False)])
def test_another_encoder_has_another_key(
    component: str, latents: bool, first: tuple[Path, EncodingRecord], tmp_path: Path
) -> None:
    base = Path(shutil.copytree(tiny_base(), tmp_path / "base"))
    config = base / component / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"note": "another"}))
    other = encoded(tmp_path, "b", captioned(f"model.pretrained={base}"))[0]
    assert (other.latents_key != first[1].latents_key) == latents
    assert (other.texts_key != first[1].texts_key) == (not latents)


def test_rows_are_each_samples_variants_as_the_encoder_sees_them(first: tuple[Path, EncodingRecord]) -> None:
    root, record = first
    run, config = Run.at(str(root), "a"), captioned()
    dataset = run.dataset(config)
    images = Images(config, dataset)
    assert images.names()[:4] == ["none 0", "none 0 flipped", "shift 0", "shift 0 flipped"]
    rows = EncodedRows(run.store, record.latents)
    assert len(rows) == 24 * images.variants == 24 * 10
    index = load_state(run.store, record.objects["index.safetensors"])
    pixels = torch.from_numpy(dataset.rows(dataset.train_rows[7:8]))[0]
    seen = images.take(7, 8)
    assert torch.equal(seen[0], pixels)
    assert torch.equal(seen[1], pixels.flip(-1))
    # a shift is read off its condition: 1 to 8, row by row around the middle
    shifts = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0)]
    for variant in (2, 3, 4, 5):
        down, right = shifts[int(index["condition"][7, variant]) - 1]
        ys, xs = np.clip(np.arange(16) - down, 0, 15), np.clip(np.arange(16) - right, 0, 15)
        of = pixels.flip(-1) if variant % 2 else pixels
        assert torch.equal(seen[variant], of[:, ys][:, :, xs])
    assert torch.equal(index["condition"][:, :2], torch.zeros(24, 2, dtype=torch.int64))
    assert set(index["condition"][:, 6:].unique().tolist()) == {9}, "RandAugment"


def test_the_texts_are_each_distinct_one_once_and_the_empty_one_first(first: tuple[Path, EncodingRecord]) -> None:
    root, record = first
    run, config = Run.at(str(root), "a"), captioned()
    dataset = run.dataset(config)
    index = load_state(run.store, record.objects["index.safetensors"])
    assert index["caption_start"].tolist() == list(range(25))
    captions = [dataset.captions(row)[0] for row in dataset.train_rows.tolist()]
    numbers = index["caption_text"].tolist()
    assert len(set(zip(captions, numbers, strict=True))) == len(set(captions)) == len(set(numbers))
    assert 0 not in numbers
    assert index["variant_text"].shape == (24, 1, 2)
    used = torch.unique(torch.cat([index["variant_text"].flatten(), index["caption_text"]])).tolist()
    assert used == list(range(1, sum(block.rows for block in record.texts)))


def captions_of(folder: Path, keep: int) -> Path:
    write_images(folder, 20)
    for file in sorted(folder.glob("*.txt"))[keep:]:
        file.unlink()
    return folder


def test_images_without_captions_train_on_the_empty_text_and_are_counted(tmp_path: Path) -> None:
    notes: list[str] = []

    class Listens(Silent):
        def note(self, text: str) -> None:
            notes.append(text)

    config = captioned(f"data.source={captions_of(tmp_path / 'images', 9)}")
    run = prepared(tmp_path / "root", "a", config)
    dataset, record = run.dataset(config), encode(run, 0, Listens())
    numbers = load_state(run.store, record.objects["index.safetensors"])["caption_text"]
    without = sum(not dataset.captions(row) for row in dataset.train_rows.tolist())
    assert without > 0
    assert int((numbers == 0).sum()) == without
    assert any(note.startswith(f"{without} of {len(numbers)} training images have no caption") for note in notes)


@pytest.mark.parametrize("prompts", ["file", "training"])
def test_no_caption_at_all_is_one_line(prompts: str, tmp_path: Path) -> None:
    file = tmp_path / "prompts.txt"
    file.write_text("one")
    source = captions_of(tmp_path / "images", 0)
    config = captioned(f"data.source={source}", f"sample.prompts={prompts}", f"sample.prompts_file={file}")
    says = f"^data.source: {source}: none of its"
    with pytest.raises(Fatal, match=says):
        encoded(tmp_path / "root", "a", config)


def test_prompts_that_would_be_missed_after_training_are_missed_before_it(tmp_path: Path) -> None:
    source = write_images(tmp_path / "images", 20)
    look = captioned(f"data.source={source}")
    dataset = prepared(tmp_path / "look", "a", look).dataset(look)
    for row in dataset.held_out_rows.tolist():
        (source / dataset.name(row)).with_suffix(".txt").unlink()
    config = captioned(f"data.source={source}", "sample.prompts=held_out")
    with pytest.raises(Fatal, match=r"^sample.prompts: held_out: none of the held-out images has a caption"):
        encoded(tmp_path / "root", "a", config)


def test_grey_images_are_refused_by_a_vae_of_colours(tmp_path: Path) -> None:
    source = write_images(tmp_path / "grey", 20, channels=1)
    assert Image.open(source / "000.png").mode == "L"
    config = captioned(f"data.source={source}", "data.channels=1")
    with pytest.raises(Fatal, match=r"^data.channels: 1: .* takes 3 channels: set data.channels=3"):
        encoded(tmp_path / "root", "a", config)
    coloured = captioned(f"data.source={source}")
    assert len(encoded(tmp_path / "root", "b", coloured)) == 1, "three equal channels are encoded"


def test_gc_takes_blocks_that_no_manifest_names_and_leaves_those_that_runs_share(tmp_path: Path) -> None:
    run = prepared(tmp_path, "a", captioned())
    record = encode(run, 0, Silent())
    assert not leftovers(Manifests(run.store).read(), float("inf"))
    run.store.delete([run.key(EncodingRecord, 0), f"encodings/{record.latents_key}/latents/0.json"])
    found = {one.stat.key for one in leftovers(Manifests(run.store).read(), float("inf"))}
    index = record.objects["index.safetensors"].key
    assert found == {record.latents[0].object.key, index}, "the texts' block is there for another run"


def test_what_other_runs_read_is_encoded_without_tf32_whatever_this_one_trains_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    matmul, seen, encoder = torch.backends.cuda.matmul, set[bool](), ImageEncoder.__call__

    def noting(self: ImageEncoder, images: object) -> object:
        seen.add(matmul.allow_tf32)
        return encoder(self, images)  # type: ignore[arg-type]

    monkeypatch.setattr(ImageEncoder, "__call__", noting)
    monkeypatch.setattr(f"{STEP}.set_numerics", lambda config: setattr(matmul, "allow_tf32", True))
    try:
        encoded(tmp_path, "a", captioned())
        assert (seen, matmul.allow_tf32) == ({False}, True)
    finally:
        matmul.allow_tf32 = False

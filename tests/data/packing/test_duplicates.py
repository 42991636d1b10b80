"""Duplicates by image alone, by caption alone, by both; and captions that the split keeps together."""

import numpy as np
import pytest

from unecho.components.data import DatasetManifest
from unecho.components.data.duplicates import caption_groups, find_caption_duplicates
from unecho.components.failure import Fatal

ALL = ("data.held_out=0",)


def captions_of(rows: dict[str, str]) -> str:
    return "file_name;text\n" + "".join(f"{name};{text}\n" for name, text in rows.items())


def test_kinds_are_counted_and_told_with_their_first_names(prepare, tree, noise) -> None:
    a, b, c, d, e = noise(5, size=16)
    files = {
        "0.png": a,
        "1.png": a,  # 0's image, another caption
        "2.png": b,
        "3.png": c,  # 2's caption, another image
        "4.png": d,
        "5.png": d // 16 * 16,  # 4's image, nearly, and its caption
        "6.png": e,  # neither
        "7.png": e[::-1].copy(),
    }
    texts = ["a cat", "a dog", "A  Bird ", "a bird", "x", "x", "y", ""]
    done = prepare(tree({**files, "metadata.csv": captions_of(dict(zip(files, texts, strict=True)))}), *ALL)
    found = done.dataset.manifest.caption_duplicates
    assert found is not None
    assert (found.image_only.groups, found.image_only.samples, found.image_only.first) == (1, 2, [["0.png", "1.png"]])
    assert (found.caption_only.groups, found.caption_only.samples) == (1, 2)
    assert found.caption_only.first == [["2.png", "3.png"]]
    assert (found.both.groups, found.both.samples, found.both.first) == (1, 2, [["4.png", "5.png"]])
    told = [note for note in done.record.notes if "duplicates in" in note]
    assert told == [
        "2 samples are duplicates in image and caption, in 1 sets: 4.png = 5.png",
        "2 samples are duplicates in image alone, their captions differ, in 1 sets: 0.png = 1.png",
        "2 samples are duplicates in caption alone, their images differ, in 1 sets: 2.png = 3.png",
    ]
    assert done.dataset.manifest.duplicates.samples == 2


def test_a_chain_of_equal_captions_is_one_group_and_no_caption_is_none() -> None:
    captions = [("a", "b"), ("b", "c"), (), ("C ",), ("d",), ()]
    groups = caption_groups(captions)
    assert groups[0] == groups[1] == groups[3]
    assert groups.tolist().count(-1) == 2
    assert groups[2] == groups[5] == -1
    assert groups[4] not in groups[[0, 2]]
    assert caption_groups([]).tolist() == []


def test_a_sample_may_be_of_several_kinds() -> None:
    image, caption = np.array([7, 7, 7, 3, 5]), np.array([0, 0, 1, 0, -1])
    found = find_caption_duplicates(image, caption, str)
    assert found.both.first == [["0", "1"]]
    assert found.image_only.first == [["0", "1", "2"]]
    assert found.caption_only.first == [["0", "1", "3"]]


def test_samples_without_a_caption_share_none() -> None:
    found = find_caption_duplicates(np.array([0, 1, 2, 3]), np.array([-1, -1, 0, 1]), str)
    assert found.both.groups == found.image_only.groups == found.caption_only.groups == 0


class TestSplitByCaption:
    """Equal captions on one side."""

    @pytest.fixture
    def source(self, tree, noise):
        files = {f"{number:02}.png": image for number, image in enumerate(noise(40))}
        rows = {name: f"caption {number // 2}" for number, name in enumerate(files)}
        return tree({**files, "metadata.csv": captions_of(rows)})

    def test_equal_captions_are_together_where_it_is_asked_for(self, prepare, source) -> None:
        apart = prepare(source, "data.held_out=0.25").dataset
        together = prepare(source, "data.held_out=0.25", "data.split_by=caption").dataset
        pairs = [dataset.held_out.reshape(20, 2) for dataset in (apart, together)]
        assert (pairs[0][:, 0] != pairs[0][:, 1]).any()
        assert (pairs[1][:, 0] == pairs[1][:, 1]).all()
        assert [int(dataset.held_out.sum()) for dataset in (apart, together)] == [10, 10]
        broken = int((pairs[0][:, 0] != pairs[0][:, 1]).sum())
        notes = apart.manifest.notes
        assert any(f"; {broken} held-out samples have a training sample's caption" in note for note in notes)
        assert "samples with equal captions are on one side of the split" in together.manifest.notes
        assert not any("held-out samples have" in note for note in together.manifest.notes)

    def test_one_caption_for_all_is_refused(self, prepare, tree, noise) -> None:
        files = {f"{number}.png": image for number, image in enumerate(noise(4))}
        source = tree({**files, "metadata.csv": captions_of(dict.fromkeys(files, "An image"))})
        with pytest.raises(Fatal, match=r"data\.split_by: caption: equal captions join all 4 images"):
            prepare(source, "data.held_out=0.5", "data.split_by=caption")

    def test_no_caption_at_all_is_refused(self, prepare, tree, noise) -> None:
        source = tree({f"{number}.png": image for number, image in enumerate(noise(4))})
        with pytest.raises(Fatal, match=r"data\.split_by: caption: no image has a caption"):
            prepare(source, "data.held_out=0.5", "data.split_by=caption")


def test_a_manifest_from_before_has_one_caption_a_captioned_sample(prepare, tree, noise) -> None:
    files = {f"{number}.png": image for number, image in enumerate(noise(3))}
    source = tree({**files, "metadata.csv": captions_of(dict.fromkeys(list(files)[:2], "x"))})
    manifest = prepare(source, *ALL).dataset.manifest
    old = manifest.model_dump(exclude={"caption_count", "caption_duplicates"})
    read = DatasetManifest.model_validate(old)
    assert (read.captions, read.caption_count, read.caption_duplicates) == (2, 2, None)

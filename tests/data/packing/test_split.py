"""The held-out part."""

import hashlib
import io
from itertools import combinations

import numpy as np
import pytest
from PIL import Image

from unecho.components.config.fields import Data
from unecho.components.data.split import split_samples as split_groups
from unecho.components.failure import Fatal


def digests(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 32), dtype=np.uint8)


def split_samples(samples: np.ndarray, data: Data) -> tuple[np.ndarray, np.ndarray]:
    """Without groups beside those of equal samples."""
    return split_groups(samples, np.unique(samples, axis=0, return_inverse=True)[1].reshape(-1), data)


@pytest.mark.parametrize(("count", "share", "expected"), [(100, 0.1, 10), (99, 0.5, 50), (1000, 0.0, 0), (30, 0.05, 2)])
def test_exactly_the_share_is_held_out(count: int, share: float, expected: int) -> None:
    kept, held_out = split_samples(digests(count), Data(held_out=share))
    assert held_out.sum() == expected  # round(share * count), halves to even
    assert kept.all()


def test_the_choice_is_that_of_the_lowest_hashes_of_seed_and_pixels() -> None:
    samples = digests(50)
    for seed in (0, 7):
        hashes = [hashlib.sha256(b"split %d " % seed + sample.tobytes()).digest() for sample in samples]
        expected = sorted(range(50), key=lambda row: hashes[row])[:10]
        _, held_out = split_samples(samples, Data(held_out=0.2, split_seed=seed))
        assert np.flatnonzero(held_out).tolist() == sorted(expected)


def test_the_choice_does_not_depend_on_the_order() -> None:
    samples, order = digests(200), np.random.default_rng(1).permutation(200)
    data = Data(held_out=0.3, train_limit=50, held_out_limit=20)
    kept, held_out = split_samples(samples, data)
    kept_again, held_out_again = split_samples(samples[order], data)
    assert (kept_again == kept[order]).all()
    assert (held_out_again == held_out[order]).all()


@pytest.mark.parametrize("seed", range(20))
def test_duplicates_fall_on_one_side_and_the_count_is_still_exact(seed: int) -> None:
    random = np.random.default_rng(seed)
    group = random.integers(0, 60, 200)
    group[:30] = np.arange(100, 130)  # some samples are alone, so any count can be reached
    samples = digests(130, seed)[group]
    _, held_out = split_samples(samples, Data(held_out=0.25, split_seed=seed))
    assert held_out.sum() == 50
    assert not set(group[held_out]) & set(group[~held_out])


def test_sets_of_duplicates_that_are_too_large_are_passed_over() -> None:
    samples = digests(12)[np.repeat(np.arange(12), 5)]  # 12 sets of 5
    _, held_out = split_samples(samples, Data(held_out=0.2))  # 12 samples: two sets make 10
    assert held_out.sum() == 10


def test_limits_keep_a_fixed_choice_on_either_side() -> None:
    samples = digests(100)
    _, whole = split_samples(samples, Data(held_out=0.4))
    kept, held_out = split_samples(samples, Data(held_out=0.4, train_limit=7, held_out_limit=3))
    assert ((kept & ~held_out).sum(), (kept & held_out).sum()) == (7, 3)
    assert (held_out == whole).all()
    more, _ = split_samples(samples, Data(held_out=0.4, train_limit=8, held_out_limit=4))
    assert (more | ~kept).all()  # a larger limit adds, it exchanges nothing


@pytest.mark.parametrize(
    ("count", "data", "says"),
    [
        (10, Data(held_out=1.0), "data.held_out: 1 of 10 images leaves none to train on"),
        (1, Data(held_out=0.1), "data.held_out: 0.1 of 1 images leaves none to train on"),
        (10, Data(held_out=0.1), "data.held_out: 0.1 of 10 images holds out 1, at least 2 are needed"),
        (100, Data(held_out=0.1, held_out_limit=1), "images, data.held_out_limit 1 holds out 1, at least 2"),
    ],
)
def test_a_split_that_leaves_too_little_says_so(count: int, data: Data, says: str) -> None:
    with pytest.raises(Fatal, match=says):
        split_samples(digests(count), data)


def test_samples_that_are_all_equal_cannot_be_split() -> None:
    with pytest.raises(Fatal, match="all 20 images are one group"):
        split_samples(digests(1)[np.zeros(20, int)], Data(held_out=0.5))


@pytest.mark.parametrize("limits", [(), ("data.train_limit=20", "data.held_out_limit=9")])
def test_a_prepared_data_set_keeps_the_two_parts_apart(prepare, tree, noise, limits: tuple[str, ...]) -> None:
    images = noise(60)
    files = {f"{number:02}.png": images[number % 45] for number in range(60)}  # 15 duplicates
    done = prepare(tree(files), "data.held_out=0.25", "data.resolution=8", "data.chunk_mib=0.0005", *limits)
    dataset = done.dataset
    assert sorted([*dataset.train_rows, *dataset.held_out_rows]) == list(range(dataset.count))
    train = {image.tobytes() for image in dataset.rows(dataset.train_rows)}
    held_out = {image.tobytes() for image in dataset.rows(dataset.held_out_rows)}
    assert train
    assert held_out
    assert not train & held_out
    assert done.names() == sorted(done.names())
    assert (done.images()[:, 0] == [files[name] for name in done.names()]).all()
    assert (len(dataset.train_rows), len(dataset.held_out_rows)) == ((45, 15) if not limits else (20, 9))
    assert (done.record.train_samples, done.record.held_out_samples) == (
        len(dataset.train_rows),
        len(dataset.held_out_rows),
    )


@pytest.mark.parametrize("seed", range(12))
def test_as_near_to_the_share_as_any_choice_of_groups_comes_and_never_nobody(seed: int) -> None:
    random = np.random.default_rng(seed)
    sizes = random.integers(3, 12, 7)
    groups = np.repeat(np.arange(7), sizes)
    share = float(random.uniform(0.02, 0.6))
    target = max(1, round(share * len(groups)))
    _, held_out = split_groups(digests(len(groups), seed), groups, Data(held_out=share))
    choices = [sum(some) for many in range(1, 7) for some in combinations(sizes.tolist(), many)]
    assert abs(held_out.sum() - target) == min(abs(total - target) for total in choices)
    assert not set(groups[held_out]) & set(groups[~held_out])


def smooth(count: int, size: int = 32) -> np.ndarray:
    """RGB pictures of random blots: uint8 [count, size, size, 3]."""
    coarse = np.random.default_rng(0).integers(0, 256, (count, 6, 6, 3), dtype=np.uint8)
    return np.stack(
        [np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC)) for image in coarse]
    )


def encoded(image: np.ndarray) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=70)
    return np.asarray(Image.open(file))


def scaled(image: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize((24, 24)).resize(image.shape[:2]))


def noisy(image: np.ndarray) -> np.ndarray:
    return (image + np.random.default_rng(1).integers(-4, 5, image.shape)).clip(0, 255).astype(np.uint8)


ALTERED = {
    "encoded anew": encoded,
    "scaled down and up": scaled,
    "with noise": noisy,
    "brighter": lambda image: (image.astype(int) + 12).clip(0, 255).astype(np.uint8),
    "mirrored": lambda image: image[:, ::-1],
    "mirrored and encoded anew": lambda image: encoded(image[:, ::-1]),
}


@pytest.mark.parametrize("altered", ALTERED)
def test_near_duplicates_fall_on_one_side_and_the_notes_count_them(prepare, tree, altered: str) -> None:
    images = smooth(40)
    copies = {f"copy/{number:02}.png": ALTERED[altered](images[number]) for number in range(20)}
    source = tree({f"{number:02}.png": image for number, image in enumerate(images)} | copies)
    done = prepare(source, "data.held_out=0.5", "data.resolution=32", "data.labels=none")
    side = dict(zip(done.names(), done.dataset.held_out.tolist(), strict=True))
    assert [side[f"copy/{number:02}.png"] for number in range(20)] == [side[f"{number:02}.png"] for number in range(20)]
    assert sum(side.values()) == 30
    assert any(
        note.startswith("40 samples are near duplicates, in 20 groups, 2 in the largest;") for note in done.record.notes
    )


def test_images_that_are_not_alike_are_no_group_also_pale_ones_and_ones_with_a_shared_outline(prepare, tree) -> None:
    images = smooth(60).astype(float)
    pale = 200 + (images[:20] - 128) / 30
    outline = images[0] * 0.75 + images[20:40] * 0.2
    many = np.concatenate([pale, outline, images[40:]]).clip(0, 255).astype(np.uint8)
    done = prepare(tree({f"{n:02}.png": image for n, image in enumerate(many)}), "data.resolution=32")
    assert not [note for note in done.record.notes if "near duplicates" in note]


def test_nearly_all_digits_stand_alone(prepare) -> None:
    done = prepare("digits")
    (note,) = [note for note in done.record.notes if "near duplicates" in note]
    assert note.startswith("10 samples are near duplicates, in 5 groups, 2 in the largest;")
    assert done.record.held_out_samples == 180  # round(0.1 * 1797)


def test_a_folder_is_on_one_side_where_asked_and_near_duplicates_join_folders(prepare, tree) -> None:
    images = smooth(40)
    files = {f"p{number // 4}/{number:02}.png": image for number, image in enumerate(images)}
    files["p0/again.png"] = noisy(images[39])  # of p9
    done = prepare(tree(files), "data.held_out=0.3", "data.resolution=32", "data.split_by=folder", "data.labels=none")
    sides: dict[str, set[bool]] = {}
    for name, held_out in zip(done.names(), done.dataset.held_out.tolist(), strict=True):
        sides.setdefault(name.partition("/")[0], set()).add(held_out)
    assert all(len(side) == 1 for side in sides.values())
    assert sides["p0"] == sides["p9"]
    assert done.record.held_out_samples in (12, 13)  # of 41: round(12.3) from folders of 4, one of them of 9
    assert "10 folders: none is on both sides of the split" in done.record.notes


def test_one_folder_cannot_be_split_by_folder(prepare, tree, noise) -> None:
    files = {f"only/{number}.png": image for number, image in enumerate(noise(12))}
    with pytest.raises(Fatal, match=r"data\.split_by: folder: all 12 images lie in one folder: set data"):
        prepare(tree(files), "data.resolution=8", "data.split_by=folder")


def test_near_duplicates_are_parted_where_only_equal_ones_count(prepare, tree) -> None:
    images = smooth(12)
    files = {
        f"{number:02}{side}.png": noisy(image) if side else image
        for number, image in enumerate(images)
        for side in ("", "b")
    }
    parted = []
    for setting in ("data.split_by=none", "data.near_duplicate=0"):
        done = prepare(tree(files), "data.resolution=32", "data.held_out=0.5", setting)
        side = dict(zip(done.names(), done.dataset.held_out.tolist(), strict=True))
        parted.append(any(side[f"{n:02}.png"] != side[f"{n:02}b.png"] for n in range(12)))
    assert parted == [True, True]


def patients(images: list[np.ndarray], of: list[str]) -> dict[str, object]:
    """Images in one folder, and a metadata file without captions that says whose they are."""
    lines = "".join(f"{number:03}.png,{patient}\n" for number, patient in enumerate(of))
    return {f"{number:03}.png": image for number, image in enumerate(images)} | {
        "metadata.csv": f"file_name,Patient ID\n{lines}"
    }


def test_images_with_one_value_of_a_column_are_on_one_side(prepare, tree, noise) -> None:
    of = [f"p{number % 12}" for number in range(58)] + ["", ""]
    source = tree(patients(list(noise(60)), of))
    done = prepare(source, "data.held_out=0.25", "data.split_column=Patient ID")
    held_out, training = ({of[row] for row in rows} for rows in (done.dataset.held_out_rows, done.dataset.train_rows))
    assert held_out
    assert not (held_out & training) - {""}
    assert "12 values of Patient ID: none is on both sides of the split; 2 images have none" in done.record.notes
    parted = prepare(source, "data.held_out=0.25")
    assert {of[row] for row in parted.dataset.held_out_rows} & {of[row] for row in parted.dataset.train_rows} - {""}


@pytest.mark.parametrize(
    ("column", "of", "says"),
    [
        (
            "ward",
            ["a", "b", "c"],
            r"data\.split_column: ward: .*metadata\.csv, line 2: no such column; it has the fields",
        ),
        ("patient_id", ["a", "a", "a"], r"data\.split_column: patient_id: all 3 images have one value"),
    ],
)
def test_a_column_that_parts_nothing_is_named(prepare, tree, noise, column: str, of: list[str], says: str) -> None:
    with pytest.raises(Fatal, match=says):
        prepare(tree(patients(list(noise(3)), of)), "data.held_out=0.3", f"data.split_column={column}")


def test_a_source_without_metadata_has_no_column(prepare, tree, noise) -> None:
    with pytest.raises(Fatal, match=r"data\.split_column: patient: .*: no metadata file there"):
        prepare(tree({"a.png": noise(1)[0]}), "data.split_column=patient")
    with pytest.raises(Fatal, match=r"data\.split_column: patient: layout digits has no metadata files"):
        prepare("digits", "data.split_column=patient")

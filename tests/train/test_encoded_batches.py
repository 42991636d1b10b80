"""What a visit sees of a sample's encodings: a flip, a caption and an augmentation, drawn anew though all is cached."""

from collections import Counter

import pytest
import torch
from torch import Tensor

from tests.captioned import captioned
from unecho.components.config import RunConfig
from unecho.components.method.augment import augmentations, image_variants
from unecho.components.train.encoded_batches import EncodedBatches, EncodedShard
from unecho.components.train.order import Order

SAMPLES, EPOCHS = 16, 120
CAPTIONS = [[1], [2, 3, 4], [5, 6]]
"""Texts of the samples, which take turns in having one, three and two."""


class Places:
    """Rows that say which place they are from."""

    def expect(self, places: Tensor) -> None:
        pass

    def take(self, places: Tensor) -> Tensor:
        return places.float()


class Family:
    def x0(self, held: Tensor) -> Tensor:
        return held


def config(*settings: str) -> RunConfig:
    return captioned("iet.local_epochs=60", *settings)


def batches(of: RunConfig) -> EncodedBatches:
    captions = [CAPTIONS[i % 3] for i in range(SAMPLES)]
    listed, variants = augmentations(of.taa), image_variants(of)
    kinds = [one.kind for one in listed]
    condition = torch.tensor([[0 if v.kind == "none" else 1 + kinds.index(v.kind) for v in variants]] * SAMPLES)
    return EncodedBatches(
        of,
        0,
        Order(of, 0, SAMPLES),
        EncodedShard(
            latents=Places(),
            texts=Places(),
            condition=condition,
            caption_start=torch.tensor([0, *map(len, captions)]).cumsum(0),
            caption_text=torch.tensor([text for own in captions for text in own]),
            variant_text=torch.arange(100, 100 + SAMPLES * 2).reshape(SAMPLES, 1, 2),
        ),
        Family(),  # type: ignore[arg-type]
        torch.device("cpu"),
    )


def visits(of: RunConfig, flagged: bool) -> list[tuple[int, int, int, int]]:
    """Sample, variant, text and condition of every visit in `EPOCHS` epochs."""
    some, seen = batches(of), []
    flags = torch.full((SAMPLES,), flagged)
    for step in range(EPOCHS * some.steps_per_epoch):
        picked = some.at(step, flags)
        batch = picked.batch(flags[picked.samples])
        assert batch.text is not None
        variant = batch.x0.long() - picked.samples * len(image_variants(of))
        columns = (picked.samples, variant, batch.text.long(), batch.condition)
        seen += list(zip(*(column.tolist() for column in columns), strict=True))
    return seen


def test_flips_and_left_out_captions_stay_random_for_every_sample() -> None:
    seen = visits(config("train.caption_dropout=0.25", "taa.enabled=false"), flagged=False)
    for sample in range(SAMPLES):
        own = [(variant, text) for s, variant, text, _ in seen if s == sample]
        assert len(own) == EPOCHS
        flips = Counter(variant for variant, _ in own)
        assert flips.keys() == {0, 1}
        assert min(flips.values()) > EPOCHS / 4
        left_out = sum(text == 0 for _, text in own)
        assert 0.1 < left_out / EPOCHS < 0.45
    assert sum(text == 0 for _, _, text, _ in seen) / len(seen) == pytest.approx(0.25, abs=0.03)


def test_without_flips_and_dropout_nothing_of_them_happens() -> None:
    seen = visits(config("train.caption_dropout=0", "train.horizontal_flip=false", "taa.enabled=false"), flagged=False)
    assert {variant for _, variant, _, _ in seen} == {0}
    assert all(text > 0 for _, _, text, _ in seen)


@pytest.mark.parametrize("which", ["first", "random"])
def test_of_several_captions_the_first_or_any(which: str) -> None:
    seen = visits(config(f"train.captions={which}", "train.caption_dropout=0", "taa.enabled=false"), flagged=False)
    for sample in range(SAMPLES):
        own, captions = Counter(t for s, _, t, _ in seen if s == sample), CAPTIONS[sample % 3]
        assert own.keys() == set(captions[:1] if which == "first" else captions)
        assert min(own.values()) > EPOCHS / len(own) / 2


def test_only_flagged_samples_are_augmented_each_kind_as_likely_and_told_so() -> None:
    of = config("train.caption_dropout=0", "taa.augmentations=shift,randaugment,repeat_word", "encode.variants=2")
    assert {(v, c) for _, v, _, c in visits(of, flagged=False)} == {(0, 0), (1, 0)}
    kinds = Counter[str]()
    for _, variant, text, condition in visits(of, flagged=True):
        one = image_variants(of)[variant]
        kind = one.kind if one.kind != "none" else "repeat_word"
        kinds[kind] += 1
        assert (text >= 100) == (kind == "repeat_word")
        assert augmentations(of.taa)[condition - 1].kind == kind
    assert kinds.keys() == {"shift", "randaugment", "repeat_word"}
    assert min(kinds.values()) > 0.28 * SAMPLES * EPOCHS


def test_all_variants_of_an_augmentation_are_seen_with_both_flips() -> None:
    of = config("taa.augmentations=shift", "encode.variants=3")
    own = Counter(variant for s, variant, _, _ in visits(of, flagged=True) if s == 3)
    assert own.keys() == set(range(2, 8)), "the plain image is not an augmentation"


def test_another_caption_is_never_the_first_and_a_sample_with_one_is_not_augmented() -> None:
    of = config("taa.augmentations=other_caption", "train.captions=first", "train.caption_dropout=0")
    assert {(t, c) for s, _, t, c in visits(of, flagged=True) if s % 3 == 0} == {(1, 0)}
    assert {(t, c) for s, _, t, c in visits(of, flagged=True) if s % 3 == 1} == {(3, 1), (4, 1)}
    assert {(t, c) for s, _, t, c in visits(of, flagged=True) if s % 3 == 2} == {(6, 1)}


def test_a_caption_that_is_left_out_is_not_told_to_be_augmented() -> None:
    of = config("taa.augmentations=repeat_word", "train.caption_dropout=0.5")
    seen = visits(of, flagged=True)
    assert {condition for _, _, text, condition in seen if text == 0} == {0}
    assert {condition for _, _, text, condition in seen if text} == {1}


def test_a_slot_that_goes_on_inside_an_epoch_sees_the_rest_of_it_as_before() -> None:
    """The flags of samples that were visited have changed; those of the others have not."""
    of = config()
    whole, flags = batches(of), torch.arange(SAMPLES) % 2 == 0
    expected, seen = [], torch.zeros(SAMPLES, dtype=torch.bool)
    for step in range(4):
        picked = whole.at(step, flags)
        expected.append(picked)
        if step < 2:
            seen[picked.samples] = True
    again = batches(of)
    for step in (2, 3):
        picked = again.at(step, torch.where(seen, ~flags, flags))
        for name in ("samples", "moments", "text", "condition"):
            assert torch.equal(getattr(picked, name), getattr(expected[step], name))

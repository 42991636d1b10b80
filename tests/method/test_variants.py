"""What a sample's image is encoded as, once: plain, and as each augmentation would have it."""

from unecho.components.config import RunConfig, resolve
from unecho.components.method.augment import (
    Variant,
    augmentations,
    conditions_by_kind,
    image_variants,
    rewritten_kinds,
    variant_condition,
)


def config(*settings: str) -> RunConfig:
    return resolve(None, settings=("model.family=latents", "model.pretrained=random-tiny", *settings))


def test_what_draws_something_has_several_and_a_flip_one() -> None:
    found = image_variants(config("taa.augmentations=shift,horizontal_flip,repeat_word", "encode.variants=3"))
    assert found == [
        Variant("none"),
        Variant("shift", 0),
        Variant("shift", 1),
        Variant("shift", 2),
        Variant("horizontal_flip", 0),
    ]


def test_with_flips_at_every_visit_each_is_there_with_its_mirror_image() -> None:
    found = image_variants(config("taa.augmentations=shift", "encode.variants=2", "train.horizontal_flip=true"))
    plain = [Variant("none"), Variant("shift", 0), Variant("shift", 1)]
    assert found[::2] == plain
    assert found[1::2] == [Variant(v.kind, v.number, flip=True) for v in plain]


def test_without_augmentation_there_is_the_plain_image_alone() -> None:
    off = config("taa.enabled=false", "taa.augmentations=shift,repeat_word")
    assert image_variants(off) == [Variant("none")]
    assert rewritten_kinds(off) == []


def test_kinds_of_captions_keep_the_order_of_the_configuration() -> None:
    kinds = "replace_words,other_caption,shift,repeat_word"
    both = config(f"taa.augmentations={kinds}", "train.captions=first")
    assert rewritten_kinds(both) == ["replace_words", "repeat_word"]


def test_a_variants_condition_is_one_of_its_kind_and_all_are_drawn() -> None:
    taa = config("taa.augmentations=randaugment,shift", "taa.shift_pixels=1").taa
    by_kind = conditions_by_kind(augmentations(taa))  # randaugment, then the eight shifts
    assert variant_condition(by_kind, Variant("none"), 5) == 0
    assert {variant_condition(by_kind, Variant("randaugment", n), 5) for n in range(9)} == {1}
    drawn = [variant_condition(by_kind, Variant("shift", n), row) for row in range(30) for n in range(4)]
    assert set(drawn) == set(range(2, 10))
    again = [variant_condition(by_kind, Variant("shift", n, flip=True), row) for row in range(30) for n in range(4)]
    assert again == drawn, "a mirror image has the shift of its variant"

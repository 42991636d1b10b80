"""What is compared: from the options to runs."""

from pathlib import Path

import pytest

from unecho.components.config.counts import check_counts, planned_visits
from unecho.components.config.fields import VARIANTS
from unecho.components.failure import Fatal
from unecho.components.store import open_store
from unecho.pipelines.comparison.arms import Arm, arms_of_file, check_arms, entries, variant_arms


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "arms.yaml"
    file.write_text(text)
    return file


def test_all_variants_are_arms_and_default_comes_first() -> None:
    assert [arm.name for arm in variant_arms("all")] == list(VARIANTS)
    assert VARIANTS[0] == "default"
    assert [arm.name for arm in variant_arms("agc, default,agc")] == ["agc", "default"]
    with pytest.raises(Fatal, match="--variants: 'ietx' is not 'all' or one of default"):
        variant_arms("default,ietx")


def test_every_arm_has_every_seed_and_a_run_of_a_name_that_kubernetes_takes(tmp_path: Path) -> None:
    every = entries(open_store(str(tmp_path)), "x", variant_arms("default,iet-agc+paper,iet-agc+"), 2, "tiny", {})
    assert [entry.run.name for entry in every] == [
        "x-default-0",
        "x-iet-agc-plus-paper-0",
        "x-iet-agc-plus-0",
        "x-default-1",
        "x-iet-agc-plus-paper-1",
        "x-iet-agc-plus-1",
    ]
    assert [entry.config.seed for entry in every] == [0, 0, 0, 1, 1, 1]
    assert {entry.config.preset for entry in every} == {"tiny"}


def test_an_arm_of_ones_own_starts_from_its_variant_and_wins_over_what_all_arms_are_given(tmp_path: Path) -> None:
    file = written(tmp_path, "alone: {variant: default, taa: {enabled: true, augment_below: 2}}\nplain:\n")
    alone, plain = arms_of_file(file)
    assert (alone.variant, plain.variant) == ("default", "iet-agc+")
    given = {"taa": {"augment_below": 1.5, "shift_pixels": 2}}
    first, second = entries(open_store(str(tmp_path)), "x", [alone, plain], 1, "tiny", given)
    taa = first.config.taa
    assert (first.config.iet.shards, taa.enabled, taa.augment_below, taa.shift_pixels) == (1, True, 2, 2)
    assert second.config.taa.augment_below == 1.5


def test_arms_of_one_shard_do_the_steps_of_all_shards(tmp_path: Path) -> None:
    alone = Arm("alone", "default", {"taa": {"enabled": True}})
    one, both = entries(open_store(str(tmp_path)), "x", [alone, Arm("b", "iet-agc+")], 1, "digits-memorizing", {})
    assert one.config.iet.local_steps == 2 * (both.config.iet.local_steps or 0)


@pytest.mark.parametrize("preset", ["digits-memorizing", "fashion-memorizing"])
def test_the_arms_of_the_ablation_are_given_the_same_visits(preset: str, tmp_path: Path) -> None:
    arms = [*variant_arms("default"), *arms_of_file(Path(__file__).parents[3] / "docs/ablation.yaml")]
    check_arms(arms)
    every = entries(open_store(str(tmp_path)), preset, arms, 1, preset, {})
    visits = []
    for entry in every:
        shards = entry.config.iet.shards
        check_counts(entry.config, 100, 1000)
        visits.append(planned_visits(entry.config, [100 // shards] * shards))
    # the smaller batch of four shards has more steps, which are counted for the digits
    assert all(count == visits[0] for count, entry in zip(visits, every, strict=True) if entry.arm.name != "shards-4")


@pytest.mark.parametrize("preset", ["digits-memorizing", "fashion-memorizing"])
def test_the_arms_of_early_stops_are_given_the_steps_that_their_names_say(preset: str, tmp_path: Path) -> None:
    arms = arms_of_file(Path(__file__).parents[3] / "docs/early-stop.yaml")
    for entry in entries(open_store(str(tmp_path)), preset, arms, 1, preset, {}):
        steps = entry.config.iet.rounds * (entry.config.iet.local_steps or 0)
        assert (entry.arm.name, entry.config.iet.shards) == (f"default-{steps}", 1)


@pytest.mark.parametrize("preset", ["digits-memorizing", "fashion-memorizing"])
def test_the_arm_of_one_shard_is_given_the_visits_of_plain_training(preset: str, tmp_path: Path) -> None:
    arms = [*variant_arms("default"), *arms_of_file(Path(__file__).parents[3] / "docs/one-shard.yaml")]
    plain, told = entries(open_store(str(tmp_path)), preset, arms, 1, preset, {})
    assert planned_visits(told.config, [100]) == planned_visits(plain.config, [100])
    assert (told.config.iet.shards, told.config.taa.augment_conditioning) == (1, True)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("A: {}", "'A': an arm's name is of lower-case letters"),
        ("a: 3", "a: must hold variant and sections of fields, not a int"),
        ("a: {variant: x}", "a: variant 'x' is not one of default"),
        ("- a", "must hold sections of fields, not a list"),
        ("a: {", "line 1: not valid YAML"),
    ],
)
def test_a_mistake_in_the_file_is_named(text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(Fatal) as told:
        arms_of_file(written(tmp_path, text))
    assert says in str(told.value)


def test_a_mistake_in_an_arms_fields_names_the_arm_and_the_field(tmp_path: Path) -> None:
    with pytest.raises(Fatal, match=r"arm a: agc\.skip_ratio: 0"):
        entries(open_store(str(tmp_path)), "x", [Arm("a", "agc", {"agc": {"skip_ratio": 0}})], 1, "tiny", {})


def test_arms_need_names_of_their_own() -> None:
    with pytest.raises(Fatal, match="two arms are called"):
        check_arms([Arm("a+", "agc"), Arm("a-plus", "agc")])
    with pytest.raises(Fatal, match="nothing to compare"):
        check_arms([])

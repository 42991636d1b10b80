"""What a filled-in form means, and what a wrong one says."""

from pathlib import Path
from typing import Any

import pytest

from unecho.components.config import resolve
from unecho.components.config.resolve import given_fields
from unecho.components.failure import Fatal
from unecho.components.kubeflow_task.entry import run_of
from unecho.components.kubeflow_task.form import FORM, config_of, options_of
from unecho.components.kubeflow_task.form import filled as filled_in

UNTOUCHED: dict[str, Any] = {entry.name: entry.default for entry in FORM}


def filled(**values: Any) -> dict[str, Any]:
    return UNTOUCHED | {"data_preset": "tiny"} | values


def test_an_untouched_form_is_its_preset() -> None:
    assert config_of(filled()) == resolve("tiny", "iet-agc+")


def test_empty_means_the_presets_and_everything_else_is_taken() -> None:
    form = filled(
        method_shards="4",
        method_rounds=" 3 ",
        method_local_epochs="5",
        method_skip_ratio="1.5",
        method_redistribute_fraction="1e-1",
        report_samples="64",
        seed=7.0,
    )
    assert config_of(form) == resolve(
        "tiny",
        "iet-agc+",
        settings=(
            "iet.shards=4",
            "iet.rounds=3",
            "iet.local_epochs=5",
            "agc.skip_ratio=1.5",
            "msr.redistribute_fraction=0.1",
            "sample.count=64",
            "seed=7",
        ),
    )
    assert config_of(filled(data_preset="", method_variant="", data_source="digits")).variant == "iet-agc+"


def test_a_number_is_taken_where_a_program_gives_one_in_place_of_text() -> None:
    assert config_of(filled(method_shards=4.0, method_skip_ratio=1.5)) == config_of(
        filled(method_shards="4", method_skip_ratio="1.5")
    )


def test_the_form_is_sorted_by_name_as_the_ui_shows_it_and_begins_with_what_must_be_given() -> None:
    names = [entry.name for entry in FORM]
    assert names == sorted(names)
    assert [entry.name for entry in FORM if entry.default is None] == names[:1]


def test_numbers_that_arrive_as_floats_stay_whole() -> None:
    config = config_of(
        filled(overrides={"iet": {"rounds": 4.0}, "data": {"channels": 1.0}, "noise": {"beta_end": 0.5}})
    )
    assert (config.iet.rounds, config.data.channels, config.noise.beta_end) == (4, 1, 0.5)


def test_overrides_win_over_the_fields_and_may_be_a_tree_or_dotted() -> None:
    for overrides in (
        {"iet": {"shards": 5}, "stop": {"loss_plateau": 0.1}},
        {"iet.shards": 5, "stop.loss_plateau": 0.1},
    ):
        config = config_of(filled(method_shards="4", overrides=overrides))
        assert (config.iet.shards, config.stop.loss_plateau) == (5, 0.1)
    assert config_of(filled(overrides={"variant": "iet", "preset": "tiny"})).variant == "iet"


def test_a_length_in_steps_replaces_the_presets_in_epochs() -> None:
    iet = config_of(filled(overrides={"iet.local_steps": 9})).iet
    assert (iet.local_steps, iet.local_epochs) == (9, None)


def test_text_is_text_whatever_it_looks_like(tmp_path: Path) -> None:
    assert config_of(filled(data_source="yes")).data.source == "yes"
    assert config_of(filled(data_source="a: b # c")).data.source == "a: b # c"


def test_the_options_say_what_the_form_says() -> None:
    form = filled(method_shards="3", data_source="s3://photos/dogs", overrides={"stop": {"loss_plateau": 0.01}})
    preset, variant, settings = options_of(form)
    assert (preset, variant) == ("tiny", "iet-agc+")
    assert settings == ['data.source="s3://photos/dogs"', "iet.shards=3", "stop.loss_plateau=0.01"]
    assert resolve(preset, variant, settings=tuple(settings)) == config_of(form)


@pytest.mark.parametrize(
    ("values", "says", "name"),
    [
        (
            {"data_preset": "digit"},
            "preset: 'digit' is not one of afhq-dog, afhq-dog-paper, cifar10, cifar10-paper, ",
            "data_preset",
        ),
        ({"method_variant": "agc+"}, "variant: 'agc+' is not one of", "method_variant"),
        ({"method_shards": "-2"}, "iet.shards: -2 is not allowed", "method_shards"),
        ({"method_shards": "2.5"}, "iet.shards: 2.5 is not allowed", "method_shards"),
        ({"method_shards": 0.0}, "iet.shards: 0 is not allowed", "method_shards"),
        ({"method_shards": "many"}, "iet.shards: 'many' is not allowed", "method_shards"),
        ({"method_skip_ratio": "0.5"}, "agc.skip_ratio: 0.5 is not allowed", "method_skip_ratio"),
        ({"overrides": {"agc": {"skip_ratio": 0.5}}}, "agc.skip_ratio: 0.5 is not allowed", "overrides"),
        ({"overrides": {"iet": {"shard": 2}}}, "iet.shard: no such field; did you mean iet.shards?", "overrides"),
        ({"overrides": {"execution": {"device": "tpu"}}}, "execution.device: 'tpu' is not allowed", "overrides"),
        ({"seed": -1}, "seed: -1 is not allowed", "seed"),
    ],
)
def test_a_wrong_value_is_one_line_that_names_the_forms_field(values: dict[str, Any], says: str, name: str) -> None:
    with pytest.raises(Fatal) as error:
        config_of(filled(**values))
    assert str(error.value).startswith(says)
    assert str(error.value).endswith(f" ({name} in the form)")
    assert "\n" not in str(error.value)


def test_overrides_that_are_none_are_one_line() -> None:
    with pytest.raises(Fatal, match=r"^overrides: \[1\] is not a JSON object of fields$"):
        config_of(filled(overrides=[1.0]))


def test_the_name_is_the_forms_or_the_id_of_the_kubeflow_run(tmp_path: Path) -> None:
    id = "1ad2e5b2-9b5c-4fd4-8a3a-8a7d7a3c9f10"
    for name, wanted in (("", id), (None, id), (" mine ", "mine")):
        assert run_of({"address_root": str(tmp_path), "address_run_name": name, "run_id": id}).name == wanted


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (("", "x"), "^address_root: missing: give s3://bucket/prefix$"),
        (("ROOT", "Mine"), r"^run name: 'Mine': use at most 48 .* \(address_run_name in the form\)$"),
        (("gs://models", "x"), r"^gs://models: a root is a directory.* \(address_root in the form\)$"),
    ],
)
def test_an_address_that_is_none_is_one_line(values: tuple[str, str], says: str) -> None:
    with pytest.raises(Fatal, match=says):
        run_of({"address_root": values[0], "address_run_name": values[1]})


def test_every_field_of_the_form_is_one_of_the_configuration_with_the_type_that_it_takes() -> None:
    sample = {"preset": "tiny", "variant": "iet", "redistribute_fraction": "0.5", "source": "digits", "seed": 40}
    for entry in FORM:
        if entry.field:
            section, _, field = entry.field.rpartition(".")
            value = sample.get(field, "1.5" if field in ("skip_ratio", "augment_below") else "40")
            config = config_of(filled(**{entry.name: value}))
            taken = getattr(getattr(config, section) if section else config, field)
            assert taken == (float(str(value)) if entry.is_number else value)


def test_the_options_are_in_one_order_whatever_the_order_of_the_overrides() -> None:
    stop, threads = {"stop": {"loss_plateau": 0.01}}, {"threads": 1}
    _, _, settings = options_of(filled(overrides=threads | stop))
    assert settings == options_of(filled(overrides=stop | threads))[2] == ["stop.loss_plateau=0.01", "threads=1"]


@pytest.mark.parametrize(
    "settings",
    [
        ("iet.rounds=4", "iet.shards=3", "agc.skip_ratio=3", "data.source=digits", "seed=5"),
        ("iet.local_steps=9", "stop.loss_plateau=0.25", "model.block_out_channels=8,16", "execution.cache_dir=null"),
        ("iet.local_epochs=null", "iet.local_steps=3", "seed=0"),
        ("preset=tiny", "variant=iet"),
    ],
)
def test_a_form_filled_in_by_options_means_what_the_options_mean(settings: tuple[str, ...]) -> None:
    preset = None if "preset=tiny" in settings else "tiny"
    form = filled_in(preset, None, given_fields(settings=settings))
    assert config_of(form) == resolve(preset, settings=settings)
    fields = {entry.field for entry in FORM if entry.field}
    shown = {name for name, value in form["overrides"].items() if name in fields and value is not None and value != 0}
    assert not shown, "what has a place in the form stands there"

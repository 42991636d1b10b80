"""From what a user gave to a configuration, or to one line that says what is wrong."""

from pathlib import Path

import pytest

from unecho.components.config import RunConfig, frozen_difference, preset_names, resolve
from unecho.components.config.counts import planned_visits, shard_sizes
from unecho.components.config.fields import VARIANTS, Section
from unecho.components.failure import Fatal


def wrong(*settings: str, preset: str = "digits", **given: object) -> str:
    with pytest.raises(Fatal) as told:
        resolve(preset, settings=settings, **given)  # type: ignore[arg-type]
    line = str(told.value)
    assert "\n" not in line
    return line


@pytest.mark.parametrize("preset", preset_names())
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_preset_stands_under_every_variant(preset: str, variant: str) -> None:
    config = resolve(preset, variant)
    parts = (config.iet.shards > 1, config.agc.enabled, config.msr.enabled, config.taa.enabled)
    assert (
        parts
        == {
            "default": (False, False, False, False),
            "iet": (True, False, False, False),
            "agc": (False, True, False, False),
            "iet-agc": (True, True, False, False),
            "iet-agc+paper": (True, True, True, True),
            "iet-agc+": (True, True, True, True),
        }[variant]
    )


@pytest.mark.parametrize("preset", preset_names())
def test_the_papers_variant_has_the_papers_augmentation_whatever_the_preset_says(preset: str) -> None:
    config = resolve(preset, "iet-agc+paper")
    taa, latents = config.taa, config.model.family == "latents"
    assert (taa.augment_conditioning, taa.augment_below) == (False, 0.88 if latents else 0.75)
    assert (config.train.gate, config.iet.average_every, config.msr.every) == (
        ("samples", 2, 2) if latents else ("pairs", 1, 1)
    )


def test_the_paper_presets_hold_the_papers_settings() -> None:
    c = resolve("cifar10-paper")
    assert (c.model.block_out_channels, c.model.layers_per_block, c.model.dropout) == ((128, 256, 256, 256), 2, 0.1)
    assert (c.noise.timesteps, c.noise.beta_start, c.noise.beta_end) == (1000, 1e-4, 0.02)
    assert (c.train.learning_rate, c.train.warmup_epochs, c.train.batch_size) == (2e-4, 15, 128)
    assert (c.train.ema_decay, c.train.ema_warmup, c.train.grad_clip) == (0.9999, False, 1.0)
    assert (c.iet.shards, c.iet.rounds, c.iet.local_epochs, c.agc.skip_ratio) == (10, 10, 100, 2.0)
    assert (c.sample.count, c.sample.weights, c.sample.sampler, c.sample.steps) == (65536, "raw", "ddim", 50)
    assert (c.data.official_test, c.train.horizontal_flip, c.msr.destination) == (True, True, "ring")
    assert (c.taa.augment_conditioning, c.taa.augment_below) == (False, 0.75)
    dog = resolve("afhq-dog-paper")
    assert (dog.sample.weights, dog.sample.sampler, dog.sample.steps) == ("raw", "ddim", 50)
    assert (dog.train.horizontal_flip, dog.msr.destination) == (False, "ring")
    assert (dog.model.block_out_channels, dog.train.batch_size) == ((128, 256, 256, 256, 512), 60)


@pytest.mark.parametrize("preset", ["cifar10", "afhq-dog"])
def test_the_presets_without_paper_are_what_one_would_run_today(preset: str) -> None:
    c, paper = resolve(preset), resolve(f"{preset}-paper")
    assert (c.data.official_test, c.data.held_out) == (False, 0.1)
    assert (c.train.ema_warmup, c.sample.weights, c.taa.augment_conditioning) == (True, "ema", True)
    assert c.msr.destination == "spread"
    assert (c.model, c.noise, c.iet, c.agc) == (paper.model, paper.noise, paper.iet, paper.agc)


def test_stable_diffusion_is_trained_as_its_authors_did() -> None:
    c, agc = resolve("sd21-laion10k", "iet-agc+paper"), resolve("sd21-laion10k", "iet-agc")
    assert c.model.unet_sha256 == "1238522277c48923ff2751e238f2742c562e45643f3d50cc93d163cb30638b0c"
    assert (c.data.resolution, c.data.resize, c.train.horizontal_flip) == (256, "crop", True)
    assert (c.train.optimizer, c.train.learning_rate, c.train.weight_decay) == ("adamw", 2.5e-6, 1e-2)
    assert (c.train.warmup_steps, c.train.decay, c.train.grad_clip) == (5000, "constant", 1.0)
    assert (c.train.batch_size, c.train.precision, c.train.caption_dropout) == (8, "float32", 0)
    assert (c.agc.skip_ratio, c.sample.weights, c.train.ema_decay) == (1.25, "raw", 0)
    assert (c.sample.count, c.sample.prompts, c.sample.steps, c.sample.guidance_scale) == (4000, "training", 50, 7.5)
    assert (agc.iet.shards, agc.iet.rounds, agc.iet.local_steps, agc.iet.average_every) == (4, 25, 2000, 1)
    assert (c.iet.shards, c.iet.rounds, c.iet.local_steps, c.iet.average_every) == (4, 50, 1000, 2)
    assert (c.msr.every, c.msr.redistribute_fraction, c.msr.destination) == (2, 0.25, "ring")
    assert (c.train.gate, c.taa.augmentations, c.taa.augment_conditioning) == ("samples", ("randaugment",), False)


@pytest.mark.parametrize(
    ("preset", "samples"), [("sd21-laion10k", 9000), ("tiny-text-to-image", 96), ("text-to-image", 960)]
)
@pytest.mark.parametrize(
    "settings", [(), ("iet.rounds=6",), ("iet.local_epochs=3",)], ids=["preset", "rounds", "epochs"]
)
def test_variants_are_planned_with_as_many_visits_half_rounds_or_not(
    preset: str, samples: int, settings: tuple[str, ...]
) -> None:
    """With whole batches left over in no shard, to the visit."""
    visits = set()
    for variant in VARIANTS:
        config = resolve(preset, variant, settings=(*settings, "train.drop_last=true", "train.batch_size=8"))
        sizes = shard_sizes(config, samples - samples % 32)
        visits.add(planned_visits(config, sizes))
    assert len(visits) == 1


def test_rounds_of_the_papers_loop_are_taken_as_they_are_given() -> None:
    def rounds(*settings: str) -> tuple[int, int | None, int | None]:
        iet = resolve("tiny-text-to-image", "iet-agc+paper", settings=settings).iet
        return iet.rounds, iet.local_epochs, iet.local_steps

    assert rounds() == (4, 1, None)  # the preset has 2 rounds of 2
    assert rounds("iet.rounds=3") == (3, 2, None)
    assert rounds("iet.local_steps=7") == (2, None, 7)
    assert resolve("text-to-image", "iet-agc+paper").iet.local_epochs == 5, "an odd length is not halved"
    assert rounds("iet.rounds=3", "iet.local_epochs=4") == (3, 4, None)


def test_the_family_that_a_file_gives_decides_what_the_papers_variant_is(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("model: {family: latents, pretrained: x}\n")
    config = resolve(None, "iet-agc+paper", file)
    assert (config.train.gate, config.iet.rounds, config.iet.local_epochs) == ("samples", 10, 100)


def test_a_warm_up_in_the_other_unit_replaces_the_presets(tmp_path: Path) -> None:
    train = resolve("sd21-laion10k", settings=("train.warmup_epochs=2",)).train
    assert (train.warmup_epochs, train.warmup_steps) == (2, 0)
    file = tmp_path / "both.yaml"
    file.write_text("train: {warmup_epochs: 3, warmup_steps: 4}")
    assert wrong(file=file) == "train.warmup_epochs: 3 beside warmup_steps 4: give one of the two"


def test_a_later_source_wins(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("agc: {skip_ratio: 3}\ntrain: {batch_size: 8, learning_rate: 1e-4}\n")
    config = resolve("digits", "iet-agc", file, ("agc.skip_ratio=1.5",))
    assert config.agc.skip_ratio == 1.5
    assert config.train.batch_size == 8
    assert config.train.learning_rate == 1e-4  # YAML 1.1 would have read text
    assert config.data.train_limit == resolve("digits").data.train_limit
    assert resolve(file=file).agc.skip_ratio == 3


def test_a_rounds_length_in_the_other_unit_replaces_the_presets() -> None:
    assert resolve("tiny", settings=("iet.local_steps=7",)).iet.local_epochs is None
    assert resolve("digits", settings=("iet.local_epochs=7",)).iet.local_steps is None
    assert resolve("digits", settings=("iet.local_epochs=3", "iet.local_steps=4")).iet.local_steps == 4  # the last one


def test_a_rounds_length_in_both_units_at_once_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "both.yaml"
    file.write_text("iet: {local_epochs: 3, local_steps: 4}")
    assert wrong(file=file) == "iet.local_epochs: 3 beside local_steps 4: give one of the two"


def test_one_shard_does_the_steps_of_all_shards() -> None:
    shards = resolve("digits", "iet").iet
    one = resolve("digits", "default").iet
    assert shards.local_steps is not None
    assert one.local_steps == shards.local_steps * shards.shards


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("agc.skipratio=2", "agc.skipratio: no such field; did you mean agc.skip_ratio?"),
        ("agg.skip_ratio=2", "agg: no such field; did you mean agc?"),
        ("agc.skip_ratio=one", "agc.skip_ratio: 'one' is not allowed: input should be a valid number"),
        ("agc.skip_ratio=1", "agc.skip_ratio: 1 is not allowed: input should be greater than 1"),
        ("train.batch_size=0", "train.batch_size: 0 is not allowed"),
        ("train.batch_size=1.5", "train.batch_size: 1.5 is not allowed"),
        ("train.learning_rate=.nan", "train.learning_rate: nan is not allowed: input should be a finite number"),
        ("threads=true", "threads: true is not allowed"),
        ("data.resolution=4", "data.resolution: 4 is not allowed: input should be 'auto', or input should be greater"),
        ("data.channels=2", "data.channels: 2 is not allowed: input should be 'auto', 1 or 3"),
        ("variant=best", "variant: 'best' is not one of default, iet, agc, iet-agc, iet-agc+"),
        ("iet.shards=1", "msr.enabled: true needs iet.shards of 2 or more, not 1"),
        ("taa.augment_below=0.5", "taa.augment_below: 0.5 must be above 1/agc.skip_ratio = 0.5"),
        ("taa.augmentations=[blur]", "taa.augmentations.0: 'blur' is not allowed"),
        ("taa.augmentations=[]", "taa.augmentations: [] is not allowed"),
        ("sample.steps=1001", "sample.steps: 1001 is more than noise.timesteps 1000"),
        ("sample.parts=9", "sample.parts: 9 is more than the 4 batches of sample.count 1024"),
        ("model.norm_num_groups=3", "model.norm_num_groups: 3 does not divide block_out_channels' 16"),
        ("noise.beta_end=1e-5", "noise.beta_end: 1e-05 is below beta_start"),
        ("train.weight_decay=0.1", "train.weight_decay: 0.1 needs optimizer adamw, not adam"),
        ("evaluate.features=inception", "evaluate.inception_weights: needed by evaluate.features inception"),
        ("iet.rounds", "--set: 'iet.rounds' is not of the form section.field=value"),
        ("agc.skip_ratio=[", "--set agc.skip_ratio, line "),
        ("agc=2", "agc: 2 is not allowed"),
    ],
)
def test_a_mistake_is_one_line_that_names_field_value_and_what_is_allowed(setting: str, says: str) -> None:
    assert wrong(setting).startswith(says)


@pytest.mark.parametrize(
    ("typed", "source"),
    [
        *(
            (text, text)
            for text in ("2024", "pics #2", "pics: best", "[raw] dogs", "on", "no", "@home", "null", "~", "1e3")
        ),
        *(
            (text, text)
            for text in ("{a}", "a: b", "*.png", "& more", "!x", "%41", "`x`", "- a", "trailing ", "it's", "|")
        ),
        ("'2024'", "2024"),
        ('"pics #2"', "pics #2"),
        ("'it''s'", "it's"),
        ("'it's'", "it's"),
        ('"Gr\\u00fc\\u00dfe \\ud83d\\ude00"', "Grüße 😀"),
        ("'a' and 'b", "'a' and 'b"),
        ('"', '"'),
    ],
)
def test_a_text_is_taken_as_it_is_typed_less_quotes_around_all_of_it(typed: str, source: str) -> None:
    assert resolve("images", settings=(f"data.source={typed}",)).data.source == source


@pytest.mark.parametrize(
    ("typed", "value"), [("", None), ("null", None), ("'null'", "null"), ("2024", "2024"), ("~/x", "~/x")]
)
def test_a_text_that_may_be_missing_is_none_for_nothing_and_null(typed: str, value: str | None) -> None:
    for field in ("model.pretrained", "evaluate.onnx_model", "execution.cache_dir"):
        section, name = field.split(".")
        assert getattr(getattr(resolve("tiny", settings=(f"{field}={typed}",)), section), name) == value


def test_other_fields_are_yaml_as_before() -> None:
    config = resolve(
        "tiny", settings=("train.grad_clip=null", "data.train_limit=", "data.resolution='auto'", "seed=0x10")
    )
    assert (config.train.grad_clip, config.data.train_limit, config.data.resolution, config.seed) == (
        None,
        None,
        "auto",
        16,
    )
    assert wrong("data.source=") == "data.source: '' is not allowed: string should have at least 1 character"


def test_a_file_may_move_and_whether_it_may_come_or_go_is_method() -> None:
    onnx = ("evaluate.features=onnx",)
    here, there = (resolve("tiny", settings=(*onnx, f"evaluate.onnx_model={path}")) for path in ("a.onnx", "b/a.onnx"))
    assert frozen_difference(here, there) is None
    pretrained = resolve("tiny", settings=("model.pretrained=x",))
    assert frozen_difference(resolve("tiny"), pretrained) == "model.pretrained: was None, now x"


def test_a_descriptor_decides_where_nothing_else_is_said_and_numbers_are_for_the_transform_of_that_name() -> None:
    given = "evaluate.descriptor=sscd.pt"
    assert resolve("tiny", settings=(given,)).evaluate.deciding == (
        "mq_aware_0.1",
        "second_nearest_aware",
        "descriptor",
    )
    chosen = resolve("tiny", settings=(given, "evaluate.deciding=mq_0.1,descriptor_template"))
    assert chosen.evaluate.deciding == ("mq_0.1", "descriptor_template")
    assert resolve("tiny").evaluate.deciding == ("mq_aware_0.1", "second_nearest_aware")
    planned = resolve("tiny", settings=(given,))
    assert type(planned).model_validate_json(planned.model_dump_json()) == planned
    assert wrong("evaluate.deciding=descriptor") == (
        "evaluate.descriptor: needed by evaluate.deciding descriptor: give the file's path"
    )
    assert "'descriptor_own' is not one of" in wrong(given, "evaluate.deciding=descriptor_own")
    assert wrong(given, "evaluate.descriptor_mean=0.5") == (
        "evaluate.descriptor_mean: 0.5 beside descriptor_transform sscd: set evaluate.descriptor_transform=numbers, or "
        "leave it out"
    )


@pytest.mark.parametrize("typed", ["0.5", "[0.5]", "'0.5'"])
def test_one_number_may_stand_for_a_list(typed: str) -> None:
    assert resolve("tiny", settings=(f"evaluate.onnx_mean={typed}",)).evaluate.onnx_mean == (0.5,)


@pytest.mark.parametrize(
    ("preset", "settings", "says"),
    [
        ("digits", ("train.gate=samples",), "train.gate: samples is for model.family latents, not pixels"),
        (
            "tiny-text-to-image",
            ("train.gate=samples", "taa.augmentations=[shift,randaugment]"),
            "taa.augmentations: shift,randaugment, but train.gate samples augments by randaugment alone: set "
            "taa.augmentations=randaugment, or taa.enabled=false",
        ),
        (
            "tiny-text-to-image",
            ("train.gate=samples", "taa.augmentations=randaugment"),
            "taa.augment_conditioning: true, but train.gate samples augments all that trains, so that 'none' would "
            "never be: set taa.augment_conditioning=false, or train.gate=pairs",
        ),
    ],
)
def test_a_gate_that_does_not_fit_is_refused(preset: str, settings: tuple[str, ...], says: str) -> None:
    assert wrong(*settings, preset=preset) == says


def test_an_augmentation_that_training_always_applies_is_refused() -> None:
    says = wrong("train.horizontal_flip=true", "taa.augmentations=[horizontal_flip]")
    assert says.startswith("taa.augmentations: horizontal_flip is already applied to every image")


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    assert "No such file" in wrong(file=tmp_path / "none.yaml")
    bad = tmp_path / "bad.yaml"
    bad.write_text("agc: {skip_ratio: 2\niet: 3")
    assert f"{bad}, line 2" in wrong(file=bad)
    bad.write_text("- a\n- b")
    assert "must hold sections of fields, not a list" in wrong(file=bad)
    bad.write_bytes(b"\xff\xfe\x00")
    assert str(bad) in wrong(file=bad)


def test_an_unknown_preset_is_told_the_known_ones() -> None:
    assert wrong(preset="digit") == f"preset: 'digit' is not one of {', '.join(preset_names())}"


def test_only_rounds_may_grow() -> None:
    base = resolve("digits")
    assert frozen_difference(base, resolve("digits", settings=("iet.rounds=9",))) is None
    assert frozen_difference(base, resolve("digits", settings=("execution.workers=3", "report.images=none"))) is None
    assert frozen_difference(base, resolve("digits", settings=("seed=1",))) == "seed: was 0, now 1"
    cosine = [resolve("digits", settings=("train.decay=cosine", f"iet.rounds={r}")) for r in (6, 7)]
    assert frozen_difference(*cosine) == "iet.rounds: was 6, now 7"
    audits = [resolve("digits", settings=("audit.run=s3://a/runs/b", f"iet.rounds={r}")) for r in (6, 7)]
    assert frozen_difference(*audits) == "iet.rounds: was 6, now 7", "the run's last model is another"


def test_a_run_that_was_planned_before_there_was_a_watch_may_be_given_one() -> None:
    whole = resolve("tiny").model_dump(mode="json")
    older = RunConfig.model_validate({name: section for name, section in whole.items() if name != "watch"})
    watched = resolve("tiny", settings=("watch.every=2",))
    assert frozen_difference(older, watched) is None
    assert frozen_difference(RunConfig.model_validate(whole), watched) == "watch.every: was 0, now 2"
    with_rule = resolve("tiny", settings=("watch.every=2", "stop.echo=true"))
    assert frozen_difference(older, with_rule) == "stop.echo: was False, now True", "a rule is of the method"


def test_every_field_says_what_it_means() -> None:
    def walk(section: type[Section]) -> None:
        for name, field in section.model_fields.items():
            kind = field.annotation
            if isinstance(kind, type) and issubclass(kind, Section):
                walk(kind)
            else:
                assert field.description, f"{section.__name__}.{name}"

    walk(RunConfig)


def test_a_configuration_reads_back_from_its_json() -> None:
    config = resolve("images", "iet", settings=("stop.skip_rate_above=0.5",))
    assert RunConfig.model_validate_json(config.model_dump_json()) == config

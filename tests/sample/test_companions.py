"""Companion sets: what the base model makes of the same prompts and noise, and images for other prompts."""

import json
from functools import cache

import numpy as np
import pytest
from diffusers import DDIMScheduler, StableDiffusionPipeline

from tests.captioned import captioned, kept, tiny_base
from tests.runs import finish, tiny
from unecho.components.config import RunConfig, frozen_difference
from unecho.components.config.counts import companion_count
from unecho.components.diffusion.sampling import image_noise
from unecho.components.failure import TERMINATED, Fatal, Stopped
from unecho.components.measures.transforms import stages
from unecho.components.progress import Silent
from unecho.components.report.figures import load_figures
from unecho.components.report.summary import summary
from unecho.components.run import ReportRecord, Run, SamplesRecord
from unecho.components.run.base_model import BaseModel, base_digests
from unecho.components.run.companions import Companion, companion_images, companion_prompts, planned_companions
from unecho.components.run.generated import generated_images
from unecho.components.sample.step import sample
from unecho.pipelines.commands.plan import show
from unecho.pipelines.forecast import forecast

NAMES: tuple[Companion, ...] = ("held_out", "general", "base", "general_base")
COUNT = 7
"""Two batches of 4, the last one not full."""


def companied(*settings: str) -> RunConfig:
    """A full fine-tuning of one short round, with all four companion sets."""
    prompts = kept("companions") / "general.txt"
    prompts.write_text("a dog\n\na cat by night\n")
    short = ("iet.rounds=1", "iet.shards=1", "iet.local_epochs=1", "msr.enabled=false", "taa.enabled=false")
    settings = (f"sample.companions={COUNT}", f"sample.general_prompts={prompts}", *settings)
    return captioned(*short, "train.learning_rate=0.01", *settings)


@cache
def done() -> tuple[Run, RunConfig]:
    run, config = Run.at(str(kept("companions") / "root"), "one"), companied("sample.parts=1")
    finish(run, config)
    return run, config


def copied(name: str, without: tuple[str, ...]) -> Run:
    """A copy of the run's records, less those of some steps."""
    run, _ = done()
    for stat in run.store.list(f"{run.prefix}/"):
        if not any(part in stat.key for part in without):
            run.store.put(stat.key.replace(run.prefix, f"runs/{name}", 1), run.store.get(stat.key))
    return Run(run.store, name)


def taken(run: Run, config: RunConfig, name: Companion) -> np.ndarray:
    """All images of a set, uint8 [n, C, H, W]."""
    images = companion_images(run, config, 1, name)
    assert images is not None
    return images.take(np.arange(len(images)))


def of_the_base(config: RunConfig, prompts: list[str], stream: str) -> np.ndarray:
    """Images by a user's own call of the base pipeline."""
    pipeline = StableDiffusionPipeline.from_pretrained(tiny_base())
    pipeline.set_progress_bar_config(disable=True)
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config)
    batches = [range(4), range(4, 7)]
    made = [
        pipeline(
            [prompts[i] for i in batch],
            generator=image_noise(config.seed, batch, stream),
            num_inference_steps=config.sample.steps,
            guidance_scale=config.sample.guidance_scale,
            output_type="np",
        ).images
        for batch in batches
    ]
    return (np.concatenate(made) * 255).round().astype(np.uint8).transpose(0, 3, 1, 2)


def test_the_base_set_is_the_base_pipeline_on_the_prompts_and_the_noise_of_the_first_images() -> None:
    run, config = done()
    record = run.load(SamplesRecord, 1, 0)
    own = json.loads(run.store.get(record.objects["prompts.json"].key))[:COUNT]
    asked = companion_prompts(run, config, 1, "base")
    assert [(one.prompt, one.row) for one in asked or []] == [(one["prompt"], one["row"]) for one in own]
    base = taken(run, config, "base")
    np.testing.assert_array_equal(base, of_the_base(config, [one["prompt"] for one in own], "sample"))
    trained = generated_images(run, config, 1, run.dataset(config)).take(np.arange(COUNT))
    assert (base != trained).any(axis=(1, 2, 3)).all()


def test_a_part_that_is_stopped_among_the_companions_goes_on_with_the_batch_that_it_was_at() -> None:
    whole, _ = done()
    run = copied("stopped", ("/samples/", "/reports/"))
    with pytest.raises(Stopped):
        sample(run, 0, Ending("images of the companion set base"))
    units: list[str] = []
    progress = Silent()
    progress.update = lambda done, total, unit, **figures: units.append(unit)  # type: ignore[method-assign]
    sample(run, 0, progress)
    assert {unit: units.count(unit) for unit in units if "prompts" not in unit} == {
        "images of the companion set base": 1,
        "images of the companion set general_base": 2,
    }
    found, expected = (one.load(SamplesRecord, 1, 0).objects for one in (run, whole))
    assert {name: ref.sha256 for name, ref in found.items()} == {name: ref.sha256 for name, ref in expected.items()}
    assert not list(run.store.list(f"{run.prefix}/checkpoints/"))


class Ending(Silent):
    """Ends the step once a batch of these is done."""

    def __init__(self, unit: str) -> None:
        self._unit = unit

    def update(self, done: int, total: int, unit: str, **figures: float) -> None:
        if unit == self._unit:
            raise Stopped(TERMINATED, "terminated")


def test_the_other_sets_are_asked_for_held_out_captions_and_for_the_files_prompts() -> None:
    run, config = done()
    dataset = run.dataset(config)
    held_out = companion_prompts(run, config, 1, "held_out") or []
    assert len({one.row for one in held_out}) == len(held_out) == COUNT
    assert {one.row for one in held_out} <= set(dataset.held_out_rows.tolist())
    assert all(one.prompt in dataset.captions(one.row) for one in held_out)
    general, of_base = (companion_prompts(run, config, 1, name) for name in ("general", "general_base"))
    assert general == of_base
    assert {one.prompt for one in general or []} == {"a dog", "a cat by night"}
    wanted = of_the_base(config, [one.prompt for one in general or []], "sample for general prompts")
    np.testing.assert_array_equal(taken(run, config, "general_base"), wanted)
    assert (taken(run, config, "general") != wanted).any(axis=(1, 2, 3)).all()


def test_the_sets_are_the_same_to_the_byte_in_any_number_of_parts() -> None:
    """Of three parts one has no batch of the seven images, which make two."""
    run, config = done()
    parted, in_parts = copied("parted", without=("/samples/", "/reports/", "/plans/")), companied("sample.parts=3")
    parted.commit(run.plan().model_copy(update={"config": in_parts}), 0)
    records = [sample(parted, part, Silent()) for part in range(3)]
    has = [[name for name in NAMES if f"companions/{name}.safetensors" in record.objects] for record in records]
    assert sorted(map(len, has)) == [0, 4, 4]
    for name in NAMES:
        np.testing.assert_array_equal(taken(parted, in_parts, name), taken(run, config, name))
        assert companion_prompts(parted, in_parts, 1, name) == companion_prompts(run, config, 1, name)


def test_samples_of_an_older_run_have_no_sets_and_it_may_be_told_how_many() -> None:
    run, config = done()
    older = copied("older", without=("/samples/",))
    record = run.load(SamplesRecord, 1, 0)
    own = {name: ref for name, ref in record.objects.items() if not name.startswith("companions/")}
    older.commit(record.model_copy(update={"objects": own}), 1, 0)
    assert all(companion_images(older, config, 1, name) is None for name in NAMES)
    assert all(companion_prompts(older, config, 1, name) is None for name in NAMES)
    plan = config.model_dump(mode="json")
    del plan["sample"]["companions"]
    assert frozen_difference(RunConfig.model_validate(plan), config) is None


@pytest.mark.parametrize(
    ("settings", "images"),
    [
        (("sample.count=64", "sample.companions=auto"), 64),
        (("sample.count=1000", "sample.companions=auto"), 256),
        (("sample.count=2000", "sample.companions=auto"), 500),
        (("sample.count=10000", "sample.companions=auto"), 2048),
        (("sample.companions=0",), 0),
    ],
)
def test_a_set_is_a_quarter_of_the_images_within_bounds(settings: tuple[str, ...], images: int) -> None:
    config = companied(*settings)
    assert companion_count(config) == images
    assert planned_companions(config) == (list(NAMES) if images else [])


def test_only_a_text_to_image_run_that_trains_has_companions() -> None:
    assert planned_companions(tiny()) == []
    assert planned_companions(companied("audit.run=./runs/a")) == []
    assert planned_companions(companied("sample.prompts=held_out")) == ["general", "base", "general_base"]
    with pytest.raises(Fatal, match=r"^sample.companions: 13 is more than sample.count 12: lower it"):
        companied("sample.companions=13")
    with pytest.raises(Fatal, match=r"^sample.companions: 5 is for model.family latents, not pixels"):
        tiny("sample.companions=5")
    with pytest.raises(Fatal, match=r"^sample.general_prompts: x is for model.family latents, not pixels"):
        tiny("sample.general_prompts=x")


def test_the_report_shows_the_base_models_images_beside_the_floor() -> None:
    run, _ = done()
    report = run.load(ReportRecord, 1)
    figures = load_figures(run, report)
    assert {figure.base.of for figure in figures.memorization if figure.measure == "mq"} == {COUNT}
    assert figures.has_base
    page = run.store.get(report.objects["shared.html"].key).decode()
    assert '<th scope="col">base model</th>' in page
    assert f"The same figure for {COUNT} images of the pretrained model" in page
    assert "| base model |" in summary(run, report)
    assert report.headline["mq_aware_0.1_base"] == next(
        f.base.share for f in figures.memorization if f.name == "mq_aware_0.1"
    )


def test_the_report_says_what_a_perfect_copier_would_be_found_at() -> None:
    run, config = done()
    report = run.load(ReportRecord, 1)
    figures = load_figures(run, report)
    aware = next(figure for figure in figures.memorization if figure.name == "mq_aware_0.1")
    assert aware.ceiling is not None
    assert aware.ceiling.of == figures.provenance.train_images
    page = run.store.get(report.objects["shared.html"].key).decode()
    assert "What a perfect copier would be found at" in page
    assert "the best copy that it can make" in summary(run, report)
    assert report.headline["mq_aware_0.1_ceiling"] == aware.ceiling.share
    assert figures.transforms == 2 * sum(map(len, stages(config.taa)))


def test_a_plan_says_what_companions_and_reconstructions_cost(capsys: pytest.CaptureFixture[str]) -> None:
    config = companied()
    planned = forecast(config, 24, 12, 3, 16, BaseModel(config, base_digests(config)))
    assert (planned.companions, planned.companion_images) == (list(NAMES), COUNT)
    assert planned.companion_cost == pytest.approx(4 * COUNT / 12)
    assert planned.images == (24 + 12 + 12 + 4 * COUNT) * 3 * 16 * 16
    assert planned.reconstructions == 24 * 3 * 16 * 16
    show(config, planned)
    told = " ".join(capsys.readouterr().out.split())
    assert "7 images each of held_out, general, base, general_base: 233% of sampling (sample.companions)" in told
    assert "24 images through the VAE for the report" in told
    assert forecast(tiny(), 96, 48, 1, 8).reconstructions == 0

"""The dry run's figures, worked out by hand."""

import math
from dataclasses import replace

import pytest

from unecho.components.config import resolve
from unecho.components.config.counts import shard_sizes, steps_per_round
from unecho.components.config.resolve import preset_names
from unecho.pipelines.commands.plan import show
from unecho.pipelines.forecast import forecast, warnings_of

SAMPLES = {"images": 1500, "afhq-dog": 4000, "cifar10": 45_000, "tiny": 96}
"""Training images of a preset's data set, or few of one's own; 100 in the others."""


def test_cifar10_as_the_papers_trained_it() -> None:
    plan = forecast(resolve("cifar10-paper", "iet-agc"), samples=50_000, held_out=10_000, channels=3, resolution=32)
    assert plan.parameters == 35_746_307  # DDPM's CIFAR-10 network (Ho et al. 2020: 35.7 million)
    assert plan.steps_per_round == 100 * (5_000 // 128)
    assert plan.visits == 10 * 10 * 100 * 39 * 128
    gigabyte = 1e9
    # 16 bytes a parameter and proxy, 8 a model: 57 GB of proxies in all, two rounds of them kept
    assert abs(plan.weights_without_retention - (100 * 16 + 11 * 8) * 35_746_307) < gigabyte * 1e-6
    assert abs(plan.weights_peak - (2 * 10 * 16 + 3 * 8 + 2 * 4 * 16) * 35_746_307) < gigabyte * 1e-6


def test_visits_of_unequal_shards_without_drop_last() -> None:
    config = resolve("tiny", "iet", settings=("train.drop_last=false",))
    assert forecast(config, samples=97, held_out=64, channels=1, resolution=8).visits == 2 * 2 * 97


def test_what_one_should_think_about_is_said() -> None:
    config = resolve(
        "tiny", "iet", settings=("train.ema_warmup=false", "train.ema_decay=0.9999", "evaluate.neighbours=50")
    )
    warnings = " ".join(forecast(config, samples=96, held_out=0, channels=1, resolution=8).warnings)
    for wanted in ("there is no floor", "MQ saturates", "still holds much of the first weights"):
        assert wanted in warnings


@pytest.mark.parametrize("preset", preset_names())
@pytest.mark.parametrize("variant", ["default", "iet-agc+"])
def test_no_preset_releases_an_average_that_holds_much_of_the_first_weights(preset: str, variant: str) -> None:
    config, samples = resolve(preset, variant), SAMPLES.get(preset, 100)
    if config.sample.weights == "raw":
        return
    left = 1.0
    for step in range(config.iet.rounds * steps_per_round(config, min(shard_sizes(config, samples)))):
        decay = config.train.ema_decay
        left *= min(decay, (1 + step) / (10 + step)) if config.train.ema_warmup else decay
    assert left < 1e-3
    assert "first weights" not in " ".join(warnings_of(config, samples, 500))


def test_the_share_of_the_first_weights_is_said() -> None:
    """150 images a shard in batches of 64 are 3 steps an epoch, 3,000 in all: exp(-0.3) = 74 %."""
    config = resolve("images", "iet-agc+", settings=("train.ema_warmup=false",))
    assert math.isclose(0.9999**3000, 0.7408, abs_tol=1e-4)
    assert "after 3000 steps, 74%: lower it, or set train.ema_warmup" in " ".join(warnings_of(config, 1500, 500))


def test_what_the_verdict_can_tell_is_said_before_the_run() -> None:
    """2,048 and 500 images are enough for the promises of the verdict; 100 and 50 are warned of."""
    enough = resolve("cifar10", settings=("sample.count=2048", "sample.parts=1"))
    plan = forecast(enough, samples=5000, held_out=500, channels=3, resolution=32)
    assert plan.verdict is not None
    assert plan.verdict.perfect_accused <= 0.05
    assert plan.verdict.perfect_cleared >= 0.9
    assert plan.verdict.copies_accused >= 0.9
    assert plan.seen_from is not None
    assert plan.seen_from <= 0.02
    few = forecast(resolve("cifar10", settings=("sample.count=100", "sample.parts=1")), 5000, 50, 3, 32)
    assert few.verdict is not None
    assert few.verdict.copies_accused < 0.5
    assert "more of both are better" in " ".join(few.warnings)
    assert "more of both" not in " ".join(plan.warnings)
    assert forecast(enough, samples=5000, held_out=0, channels=3, resolution=32).verdict is None


def test_what_a_look_does_with_the_training_images_beside_the_network_is_said(
    capsys: pytest.CaptureFixture[str],
) -> None:
    plain = resolve("digits", settings=("watch.every=2",))
    found = forecast(plain, 1617, 180, 1, 8)
    show(plain, found)
    assert "through the VAE" not in capsys.readouterr().out
    described = resolve("digits", settings=("watch.every=2", "evaluate.descriptor=/a.onnx"))
    show(described, replace(found, reconstructions=1617 * 64))
    said = " ".join(capsys.readouterr().out.split())
    assert "each passes 1,617 training images through the VAE and the descriptor, twice" in said


def test_the_floor_of_very_many_held_out_images_is_that_of_a_choice_and_so_is_the_verdict(
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = resolve("digits", settings=("evaluate.floor_limit=200",))
    found = forecast(config, 1617, 5000, 1, 8)
    assert found.verdict == forecast(config, 1617, 200, 1, 8).verdict
    show(config, found)
    said = " ".join(capsys.readouterr().out.split())
    assert "the floor of 200 of the 5,000 held-out images, a fixed choice (evaluate.floor_limit)" in said

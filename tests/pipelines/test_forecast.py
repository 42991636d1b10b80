"""The dry run's figures, worked out by hand."""

from unecho.components.config import resolve
from unecho.pipelines.forecast import forecast


def test_cifar10_as_the_papers_trained_it() -> None:
    plan = forecast(resolve("cifar10", "iet-agc"), samples=50_000, held_out=0, channels=3, resolution=32)
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
    for wanted in ("there is no floor", "MQ saturates", "still holds much of the first weights", "wide intervals"):
        assert wanted in warnings

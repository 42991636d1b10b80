"""What a policy asks for and a run of some configuration will not have: told before it trains, not after."""

from collections.abc import Iterator

from ...components.config import RunConfig
from ...components.failure import Fatal
from .policy import Policy, PolicyFile


def check_foreseen(policy: PolicyFile, config: RunConfig) -> None:
    """Whether a run of this configuration can have the figures that a policy asks for.

    Raises:
        Fatal: it cannot, so that it would train for nothing; names the first, and the field that it needs.
    """
    for asked, needs in _missing(policy.policy, config):
        raise Fatal(f"{policy.path}: {asked}: a run of this configuration will have none: {needs}")


def _missing(policy: Policy, config: RunConfig) -> Iterator[tuple[str, str]]:
    """What is asked for, and what it needs."""
    floor = config.data.official_test or config.data.held_out > 0
    if policy.verdict == "no_echo" and not floor:
        yield "verdict: no_echo", "it needs a floor: raise data.held_out, which is 0"
    for name, limits in policy.memorization.items():
        kind, _, threshold = name.rpartition("_")
        if kind in ("mq", "mq_aware") and float(threshold) not in config.evaluate.thresholds:
            known = ", ".join(f"{value:g}" for value in config.evaluate.thresholds)
            yield f"memorization.{name}", f"evaluate.thresholds are {known}: add {threshold}"
        if name.startswith("descriptor") and config.evaluate.descriptor is None:
            yield f"memorization.{name}", "set evaluate.descriptor"
        if limits.above_floor_at_most is not None and not floor:
            yield f"memorization.{name}.above_floor_at_most", "it needs a floor: raise data.held_out, which is 0"
    for name in policy.quality:
        features = _features_of(name)
        if features is not None and features not in config.evaluate.features:
            yield f"quality.{name}", f"evaluate.features are {', '.join(config.evaluate.features)}: add {features}"
        if name.startswith("alignment") and config.evaluate.alignment_model is None:
            yield f"quality.{name}", "set evaluate.alignment_model"
        if name.startswith("drift") and config.model.family != "latents":
            yield f"quality.{name}", "it is of a text-to-image model (model.family latents)"


def _features_of(name: str) -> str | None:
    """The features on which a figure of quality is; None where it is on no certain ones."""
    words = name.split("_")
    if words[0] in ("fid", "kid"):
        return "inception"
    return next((kind for kind in ("pixels", "inception", "onnx") if kind in words), None)

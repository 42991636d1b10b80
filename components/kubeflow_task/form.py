"""The form of a training run in Kubeflow's UI, and the configuration that a filled-in form says."""

from collections.abc import Mapping
from typing import Any, Final

from ..config import RunConfig, preset_names, resolve
from ..config.fields import VARIANTS, flat_fields
from ..failure import Fatal
from ..run import Run
from .entry import (
    ADDRESS,
    Entry,
    Form,
    as_settings,
    in_the_form,
    number,
    overrides_of,
    placed,
    set_words,
    settings_of,
    text_of,
)

FORM: Final[tuple[Entry, ...]] = (
    *ADDRESS,
    number(
        "data_prepare_parts",
        "execution.prepare_parts",
        "pods that pack the images side by side before prepare; empty or 1 for none, some hundred thousand images each",
    ),
    Entry(
        "data_preset",
        str,
        f"data set, model and schedule, one of {', '.join(preset_names())}",
        "preset",
        default="digits",
    ),
    Entry("data_source", str, "images: digits, or s3://bucket/prefix", "data.source"),
    number(
        "method_augment_below", "taa.augment_below", "augment samples whose loss is below this times the memory bank"
    ),
    number("method_local_epochs", "iet.local_epochs", "passes of a proxy over its shard in one round"),
    number(
        "method_redistribute_fraction", "msr.redistribute_fraction", "share of the samples that moves after a round"
    ),
    number(
        "method_rounds", "iet.rounds", "R, how often proxies are trained and averaged; may grow under the same name"
    ),
    number("method_shards", "iet.shards", "K, how many proxy models train side by side; 16 at most are advised"),
    number(
        "method_skip_ratio", "agc.skip_ratio", "above 1; skip samples whose loss times this is below the memory bank"
    ),
    Entry("method_variant", str, f"parts of the method, one of {', '.join(VARIANTS)}", "variant", default="iet-agc+"),
    Entry(
        "model_pretrained",
        str,
        "diffusers folder to start from, s3://bucket/prefix; for text-to-image (preset text-to-image) the pipeline to "
        "fine-tune",
        "model.pretrained",
    ),
    Entry(
        "overrides",
        dict,
        'any other field of the configuration, such as {"stop": {"loss_plateau": 0.01}}; wins over the other fields',
        default={},
    ),
    number("report_samples", "sample.count", "images generated for the report"),
    Entry("seed", int, "of weights, order, noise, redistribution and sampling", "seed", default=0),
)
"""Sorted by name, as the UI shows it."""
_NAMED: Final = ("preset", "variant")
"""Fields that are chosen by name, before all others."""


def options_of(values: Mapping[str, Any]) -> tuple[str | None, str | None, list[str]]:
    """Preset, variant and `--set` options that say the same as a form; the last setting of a field wins.

    Raises:
        Fatal: overrides is no JSON object.
    """
    settings = settings_of(tuple(entry for entry in FORM if entry.field not in _NAMED), values)
    named = flat_fields(overrides_of(values))
    preset, variant = (
        str(named.pop(entry.field, None) or text_of(values, entry.name)) or None
        for entry in FORM
        if entry.field in _NAMED
    )
    return preset, variant, settings + as_settings(named)


def filled(preset: str | None, variant: str | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """The form of a preset, a variant and a tree of fields: what has an entry of its own there, the rest as overrides.

    `config_of` makes of it what `resolve` makes of the three.
    """
    rest = flat_fields(given)
    chosen = {"preset": preset, "variant": variant}
    named = {}
    for entry in FORM:
        if entry.field in _NAMED:
            own = rest.pop(entry.field, None)
            named[entry.name] = chosen[entry.field] or own or ""
    return named | placed(FORM, rest) | {"overrides": rest}


def config_of(values: Mapping[str, Any]) -> RunConfig:
    """The configuration that a form says.

    Raises:
        Fatal: one line that names the field, its value and what is allowed, and where in the form it stands.
    """
    preset, variant, settings = options_of(values)
    try:
        return resolve(preset, variant, settings=tuple(settings))
    except Fatal as error:
        raise in_the_form(error, FORM, values) from None


def line_of(run: Run, values: Mapping[str, Any]) -> list[str]:
    """Step plan, as a person would type it."""
    preset, variant, settings = options_of(values)
    words = ["unecho", "step", "plan", "--run", run.url]
    words += ["--preset", preset] if preset else []
    words += ["--variant", variant] if variant else []
    return words + set_words(settings)


TRAINING: Final = Form(FORM, config_of, line_of)

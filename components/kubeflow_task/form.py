"""The form of a run in Kubeflow's UI, and the configuration that a filled-in form says.

The UI sorts the form by name and shows no description: names say what group a field is of, what must be given comes
first, and an empty field means what the preset says. The descriptions stand in the pipeline's.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ..config import RunConfig, preset_names, resolve
from ..config.fields import VARIANTS, flat_fields
from ..failure import Fatal
from ..run import Run

ROOT: Final = "address_root"
RUN_NAME: Final = "address_run_name"
RUN_ID: Final = "run_id"
"""Beside the form: the id of the Kubeflow run, which names a run that the form leaves nameless."""


@dataclass(frozen=True)
class Entry:
    """A field of the form.

    Attributes:
        type: str, int or dict.
        help: one line for the user.
        field: of the configuration; its blank in the form means what the preset says.
        default: shown in the form; None where the user must give a value.
        is_number: the text is one; KFP's numbers cannot be left empty.
    """

    name: str
    type: type
    help: str
    field: str | None = None
    default: Any = ""
    is_number: bool = False

    @property
    def blank(self) -> Any:
        """The value that says nothing."""
        return self.type()


def _number(name: str, field: str, help: str) -> Entry:
    return Entry(name, str, help, field, is_number=True)


FORM: Final[tuple[Entry, ...]] = (
    Entry(ROOT, str, "where everything is kept, s3://bucket/prefix; must be given", default=None),
    Entry(
        RUN_NAME,
        str,
        "at most 48 lower-case letters, digits and dashes; under the same name a run goes on; empty, the id of this "
        "Kubeflow run",
    ),
    Entry(
        "data_preset",
        str,
        f"data set, model and schedule, one of {', '.join(preset_names())}",
        "preset",
        default="digits",
    ),
    Entry("data_source", str, "images: digits, or s3://bucket/prefix", "data.source"),
    _number(
        "method_augment_below", "taa.augment_below", "augment samples whose loss is below this times the memory bank"
    ),
    _number("method_local_epochs", "iet.local_epochs", "passes of a proxy over its shard in one round"),
    _number(
        "method_redistribute_fraction", "msr.redistribute_fraction", "share of the samples that moves after a round"
    ),
    _number(
        "method_rounds", "iet.rounds", "R, how often proxies are trained and averaged; may grow under the same name"
    ),
    _number("method_shards", "iet.shards", "K, how many proxy models train side by side; 16 at most are advised"),
    _number(
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
    _number("report_samples", "sample.count", "images generated for the report"),
    Entry("seed", int, "of weights, order, noise, redistribution and sampling", "seed", default=0),
)
"""Sorted by name, as the UI shows it."""
_NAMED: Final = ("preset", "variant")
"""Fields that are chosen by name, before all others."""


def run_of(values: Mapping[str, Any]) -> Run:
    """The run that a form is about.

    Raises:
        Fatal: the root or the name is not one.
    """
    root = _text(values, ROOT)
    if not root:
        raise Fatal(f"{ROOT}: missing: give s3://bucket/prefix")
    try:
        return Run.at(root, _text(values, RUN_NAME) or _text(values, RUN_ID))
    except Fatal as error:
        name = RUN_NAME if str(error).startswith("run name:") else ROOT
        raise Fatal(f"{error} ({name} in the form)") from None


def options_of(values: Mapping[str, Any]) -> tuple[str | None, str | None, list[str]]:
    """Preset, variant and `--set` options that say the same as a form; the last setting of a field wins.

    Raises:
        Fatal: overrides is no JSON object.
    """
    settings = [
        f"{entry.field}={_text(values, entry.name) if entry.is_number else json.dumps(value)}"
        for entry in FORM
        if entry.field not in (None, *_NAMED) and (value := whole(values.get(entry.name))) not in (None, entry.blank)
    ]
    named = flat_fields(_overrides(values))
    preset, variant = (
        str(named.pop(entry.field, None) or _text(values, entry.name)) or None
        for entry in FORM
        if entry.field in _NAMED
    )
    settings += [f"{field}={json.dumps(value, ensure_ascii=False)}" for field, value in named.items()]
    return preset, variant, settings


def filled(preset: str | None, variant: str | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """The form of a preset, a variant and a tree of fields: what has an entry of its own there, the rest as overrides.

    `config_of` makes of it what `resolve` makes of the three.
    """
    rest = flat_fields(given)
    chosen = {"preset": preset, "variant": variant}
    form: dict[str, Any] = {}
    for entry in FORM:
        if entry.field in _NAMED:
            own = rest.pop(entry.field, None)
            form[entry.name] = chosen[entry.field] or own or ""
        elif entry.field in rest:
            value = rest[entry.field]
            fits = type(value) in (int, float) if entry.is_number else isinstance(value, entry.type)
            if fits and value != entry.blank:
                form[entry.name] = str(value) if entry.is_number else value
                del rest[entry.field]
    return form | {"overrides": rest}


def config_of(values: Mapping[str, Any]) -> RunConfig:
    """The configuration that a form says.

    Raises:
        Fatal: one line that names the field, its value and what is allowed, and where in the form it stands.
    """
    preset, variant, settings = options_of(values)
    try:
        return resolve(preset, variant, settings=tuple(settings))
    except Fatal as error:
        field = str(error).partition(":")[0]
        names = [entry.name for entry in FORM if entry.field == field]
        name = "overrides" if field in flat_fields(_overrides(values)) or not names else names[0]
        raise Fatal(f"{error} ({name} in the form)") from None


def whole(value: Any) -> Any:
    """The same with whole numbers as int: in protobuf's JSON every number is a float."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {name: whole(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [whole(inner) for inner in value]
    return value


def _overrides(values: Mapping[str, Any]) -> Mapping[str, Any]:
    overrides = whole(values.get("overrides") or {})
    if not isinstance(overrides, Mapping):
        raise Fatal(f"overrides: {json.dumps(overrides)} is not a JSON object of fields")
    return overrides


def _text(values: Mapping[str, Any], name: str) -> str:
    value = whole(values.get(name))
    return "" if value is None else str(value).strip()

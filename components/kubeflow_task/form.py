"""The form of a run in Kubeflow's UI, and the configuration that a filled-in form says."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ..config import RunConfig, preset_names, resolve
from ..config.fields import VARIANTS
from ..failure import Fatal
from ..run import Run

RUN_ID: Final = "run_id"
"""Beside the form: the id of the Kubeflow run, which names a run that the form leaves nameless."""


@dataclass(frozen=True)
class Entry:
    """A field of the form.

    Attributes:
        type: str, int, float or dict.
        help: one line for the user.
        field: of the configuration; empty or 0 in the form then means what the preset says.
        default: shown in the form; None where the user must give a value.
    """

    name: str
    type: type
    help: str
    field: str | None = None
    default: Any = None

    @property
    def blank(self) -> Any:
        """The value that says nothing."""
        return self.type()


def _of(name: str, type: type, field: str, help: str) -> Entry:
    return Entry(name, type, f"{help}; {'empty' if type is str else 0}: the preset's", field, type())


FORM: Final[tuple[Entry, ...]] = (
    Entry("root", str, "Where everything is kept: s3://bucket/prefix"),
    Entry(
        "run_name",
        str,
        "Name of the run, at most 48 lower-case letters, digits and dashes; under the same name a run goes on; "
        "empty: the id of this Kubeflow run",
        default="",
    ),
    Entry("preset", str, f"Data set, model and schedule, one of {', '.join(preset_names())}", default="digits"),
    Entry(
        "variant", str, f"Parts of the method, one of {', '.join(VARIANTS)}; empty: the preset's", default="iet-agc+"
    ),
    _of("source", str, "data.source", "Images: digits, or s3://bucket/prefix"),
    _of("shards", int, "iet.shards", "K, how many proxy models train side by side"),
    _of("rounds", int, "iet.rounds", "R, how often proxies are trained and averaged; may grow under the same name"),
    _of("local_epochs", int, "iet.local_epochs", "Passes of a proxy over its shard in one round"),
    _of("skip_ratio", float, "agc.skip_ratio", "Skip samples whose loss times this is below the memory bank, above 1"),
    _of("redistribute_fraction", float, "msr.redistribute_fraction", "Share of the samples that moves after a round"),
    _of("augment_below", float, "taa.augment_below", "Augment samples whose loss is below this times the memory bank"),
    _of("samples", int, "sample.count", "Images generated for the report"),
    Entry("seed", int, "Seed of weights, order, noise, redistribution and sampling", "seed", 0),
    Entry(
        "overrides",
        dict,
        'Any other field of the configuration, such as {"stop": {"loss_plateau": 0.01}}; wins over the fields above',
        default={},
    ),
)


def run_of(values: Mapping[str, Any]) -> Run:
    """The run that a form is about.

    Raises:
        Fatal: the root or the name is not one.
    """
    root = _text(values, "root")
    if not root:
        raise Fatal("root: missing: give s3://bucket/prefix")
    return Run.at(root, _text(values, "run_name") or _text(values, RUN_ID))


def options_of(values: Mapping[str, Any]) -> tuple[str | None, str | None, list[str]]:
    """Preset, variant and `--set` options that say the same as a form; the last setting of a field wins.

    Raises:
        Fatal: overrides is no JSON object.
    """
    settings = [
        f"{entry.field}={json.dumps(value)}"
        for entry in FORM
        if entry.field and (value := whole(values.get(entry.name))) not in (None, entry.blank)
    ]
    overrides = whole(values.get("overrides") or {})
    if not isinstance(overrides, Mapping):
        raise Fatal(f"overrides: {json.dumps(overrides)} is not a JSON object of fields")
    named = dict(_flat(overrides))
    preset, variant = (str(named.pop(name, None) or _text(values, name)) or None for name in ("preset", "variant"))
    settings += [f"{field}={json.dumps(value, ensure_ascii=False)}" for field, value in named.items()]
    return preset, variant, settings


def filled(preset: str | None, variant: str | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """The form of a preset, a variant and a tree of fields: what has an entry of its own there, the rest as overrides.

    `config_of` makes of it what `resolve` makes of the three.
    """
    rest = dict(_flat(given))
    form: dict[str, Any] = {}
    for name, value in (("preset", preset), ("variant", variant)):
        own = rest.pop(name, None)
        form[name] = value or own or ""
    for entry in FORM:
        kinds = (int, float) if entry.type is float else entry.type
        if entry.field in rest and isinstance(rest[entry.field], kinds) and rest[entry.field] != entry.blank:
            form[entry.name] = rest.pop(entry.field)
    return form | {"overrides": rest}


def config_of(values: Mapping[str, Any]) -> RunConfig:
    """The configuration that a form says.

    Raises:
        Fatal: one line that names the field, its value and what is allowed.
    """
    preset, variant, settings = options_of(values)
    return resolve(preset, variant, settings=tuple(settings))


def whole(value: Any) -> Any:
    """The same with whole numbers as int: in protobuf's JSON every number is a float."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {name: whole(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [whole(inner) for inner in value]
    return value


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves by dotted name; a section may be written as a tree, or as part of a dotted name."""
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _text(values: Mapping[str, Any], name: str) -> str:
    value = whole(values.get(name))
    return "" if value is None else str(value).strip()

"""Preset < variant < config file < `--set`: from what a user gave to one checked `RunConfig`."""

import json
import re
from contextlib import suppress
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from types import NoneType
from typing import Any, Final, Literal, TypeVar, get_args, get_origin

import yaml
from pydantic import ValidationError

from ..failure import Fatal
from .fields import VARIANTS, RunConfig, Section

S = TypeVar("S", bound=Section)
_PARTS: Final[dict[str, dict[str, bool]]] = {
    "default": {"shards": False, "agc": False, "msr": False, "taa": False},
    "iet": {"shards": True, "agc": False, "msr": False, "taa": False},
    "agc": {"shards": False, "agc": True, "msr": False, "taa": False},
    "iet-agc": {"shards": True, "agc": True, "msr": False, "taa": False},
    "iet-agc+paper": {"shards": True, "agc": True, "msr": True, "taa": True},
    "iet-agc+": {"shards": True, "agc": True, "msr": True, "taa": True},
}
_PAPERS_TAA: Final = {"augment_conditioning": False, "augment_below": 0.75}
"""arXiv 2502.09434, training from scratch."""
_PAPERS_LOOP: Final[dict[str, dict[str, Any]]] = {
    "iet": {"average_every": 2},
    "train": {"gate": "samples"},
    "msr": {"every": 2, "redistribute_fraction": 0.25, "destination": "ring"},
    "taa": {"augment_conditioning": False, "augment_below": 0.88, "augmentations": ["randaugment"]},
}
"""Its authors' code for Stable Diffusion: half-rounds, samples being exchanged after one and proxies averaged after the
next; and the samples' gate."""
_ALTERNATIVES: Final = {"iet": ("local_epochs", "local_steps"), "train": ("warmup_epochs", "warmup_steps")}
"""Fields that say the same in two units, by their section."""


def preset_names() -> list[str]:
    """Names of the presets that ship with the program, sorted."""
    files = resources.files("unecho.components.config").joinpath("presets").iterdir()
    return sorted(f.name.removesuffix(".yaml") for f in files if f.name.endswith(".yaml"))


def preset_summary(name: str) -> str:
    """The first comment line of a preset: what it is for."""
    return _preset_text(name).splitlines()[0].removeprefix("#").strip()


def variant_slug(variant: str) -> str:
    """A variant's name in letters that a Kubernetes object may have."""
    return re.sub(r"\+(?=[a-z0-9])", "-plus-", variant).replace("+", "-plus")


def resolve(
    preset: str | None = None,
    variant: str | None = None,
    file: Path | None = None,
    settings: tuple[str, ...] = (),
    overrides: dict[str, Any] | None = None,
) -> RunConfig:
    """Build the run's configuration.

    Args:
        preset: name of a preset; None starts from the fields' defaults, or from the file's `preset`.
        variant: one of `VARIANTS`; None takes the file's or the preset's, else iet-agc+.
        file: YAML with the same sections; wins over preset and variant.
        settings: `section.field=value`, the value in YAML, or as it is where the field takes any text; win over the
            file.
        overrides: a tree of fields, as a Kubeflow form gives it; between file and settings.

    Raises:
        Fatal: one line that names the field, its value and what is allowed.
    """
    given = given_fields(file, settings, overrides)
    preset = preset or given.get("preset") or None
    base = _read_yaml(_preset_text(preset), f"preset {preset}") if preset else {}
    variant = variant or given.get("variant") or base.get("variant") or "iet-agc+"
    if variant not in VARIANTS:
        raise Fatal(f"variant: '{variant}' is not one of {', '.join(VARIANTS)}")
    tree = _layer(_apply_variant(base, variant, given), given)
    return check(tree | {"preset": preset or "", "variant": variant})


def given_fields(
    file: Path | None = None,
    settings: tuple[str, ...] = (),
    overrides: dict[str, Any] | None = None,
    kind: type[Section] = RunConfig,
) -> dict[str, Any]:
    """The tree of fields that a user gave, unchecked; the arguments are those of `resolve`.

    Args:
        kind: what the fields are of.
    """
    given = read_file(file) if file else {}
    if overrides:
        given = _layer(given, overrides)
    for setting in settings:
        given = _layer(given, _parse_setting(setting, kind))
    return given


def check(tree: dict[str, Any]) -> RunConfig:
    """Parse a tree of a run's fields, with the first mistake as one line."""
    return check_as(RunConfig, tree)


def check_as(kind: type[S], tree: dict[str, Any]) -> S:
    """Parse a tree of fields of any kind, with the first mistake as one line."""
    try:
        return kind.model_validate(tree)
    except ValidationError as error:
        raise Fatal(_one_line(error, kind)) from None


def _apply_variant(base: dict[str, Any], variant: str, given: dict[str, Any]) -> dict[str, Any]:
    """A preset's fields as a variant has them.

    Args:
        given: by the user; here it decides only of which family the model is, and whether rounds are the preset's.
    """
    parts = _PARTS[variant]
    tree = merge(base, {part: {"enabled": parts[part]} for part in ("agc", "msr", "taa")})
    if variant == "iet-agc+paper":
        latents = _field(merge(base, given), "model", "family") == "latents"
        tree = merge(_half_rounds(tree, given), _PAPERS_LOOP) if latents else merge(tree, {"taa": _PAPERS_TAA})
    if not parts["shards"]:
        iet = dict(tree.get("iet", {}))
        if iet.get("local_steps"):  # one shard does the visits that all shards would have done
            iet["local_steps"] *= iet.get("shards", RunConfig().iet.shards)
        tree["iet"] = iet | {"shards": 1}
    return tree


def _half_rounds(tree: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Twice as many rounds of half the length, so that as many visits are planned as by other variants.

    A user's number or length of rounds is taken as it is, beside the preset's other one; so is a length that is odd.
    """
    units = _ALTERNATIVES["iet"]
    unit = next((unit for unit in units if _field(tree, "iet", unit) is not None), None)
    rounds, length = _field(tree, "iet", "rounds"), _field(tree, "iet", unit or "")
    own = any(_field(given, "iet", name) is not None for name in ("rounds", *units))
    if own or unit is None or rounds is None or length % 2:
        return tree
    return merge(tree, {"iet": {"rounds": 2 * rounds, unit: length // 2}})


def _field(tree: dict[str, Any], section: str, name: str) -> Any:
    """A field of an unchecked tree, or None."""
    fields = tree.get(section)
    return fields.get(name) if isinstance(fields, dict) else None


def _preset_text(name: str) -> str:
    if name not in preset_names():
        raise Fatal(f"preset: '{name}' is not one of {', '.join(preset_names())}")
    return resources.files("unecho.components.config").joinpath("presets", f"{name}.yaml").read_text()


def read_file(path: Path) -> dict[str, Any]:
    """The tree of a user's YAML file.

    Raises:
        Fatal: it cannot be read, or holds something else; names the file and the line.
    """
    try:
        return _read_yaml(path.read_text(), str(path))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise Fatal(f"config file {path}: {reason}") from None


def _read_yaml(text: str, name: str) -> dict[str, Any]:
    try:
        tree = yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise Fatal(f"{name}{where}: not valid YAML: {getattr(error, 'problem', error)}") from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise Fatal(f"{name}: must hold sections of fields, not a {type(tree).__name__}")
    return tree


class _Loader(yaml.SafeLoader):
    """YAML 1.1 reads 1e-4 as text; here it is a number, as every user expects."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)$"),
    list("-+0123456789."),
)


def _parse_setting(setting: str, of: type[Section]) -> dict[str, Any]:
    name, sign, text = setting.partition("=")
    if not sign or not name.strip():
        raise Fatal(f"--set: '{setting}' is not of the form section.field=value")
    *sections, field = name.strip().split(".")
    kind = _text_kind([*sections, field], of)
    value: Any
    if kind is None:
        value = _read_yaml(f"value: {text}" if text else "value: null", f"--set {name}")["value"]
    else:
        value = _as_text(text.lstrip() if name != name.rstrip() else text, optional=kind == "optional")
    tree = {field: value}
    for section in reversed(sections):
        tree = {section: tree}
    return tree


def _text_kind(path: list[str], of: type[Section]) -> Literal["text", "optional"] | None:
    """Whether a field takes any text, or text or nothing; None for all other fields."""
    kind: Any = of
    for name in path:
        field = kind.model_fields.get(name) if isinstance(kind, type) and issubclass(kind, Section) else None
        if field is None:
            return None
        kind = field.annotation
    if kind is str:
        return "text"
    return "optional" if set(get_args(kind)) == {str, NoneType} else None


def _as_text(text: str, optional: bool) -> str | None:
    """A value as it is typed: a path is no YAML. Quotes around all of it are taken off, as YAML takes them off.

    Args:
        optional: nothing, and `null`, mean none.
    """
    if optional and text in ("", "null"):
        return None
    if len(text) < 2 or text[0] != text[-1] or text[0] not in "'\"":
        return text
    if text[0] == '"':
        with suppress(ValueError):  # as a form's JSON has it
            return str(json.loads(text))
    with suppress(yaml.YAMLError):
        value = yaml.safe_load(text)
        if isinstance(value, str):
            return value
    return text[1:-1]


def _layer(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Merge, where a length given in one unit replaces the one given below in the other unit."""
    for section, (one, other) in _ALTERNATIVES.items():
        above = over.get(section)
        if isinstance(above, dict) and isinstance(base.get(section), dict):
            replaced = ((one, other), (other, one))
            drop = {below for unit, below in replaced if above.get(unit) is not None and below not in above}
            base = base | {section: {name: value for name, value in base[section].items() if name not in drop}}
    return merge(base, over)


def merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """A tree of fields over another one."""
    merged = dict(base)
    for name, value in over.items():
        below = merged.get(name)
        merged[name] = merge(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def _one_line(error: ValidationError, of: type[Section]) -> str:
    errors = error.errors()
    first, path = errors[0], _path(errors[0])
    field, value, kind = ".".join(path), first["input"], first["type"]
    if kind == "extra_forbidden":
        return f"{field}: no such field{_nearest(path, of)}"
    if kind == "value_error":
        message = str(first["ctx"]["error"])
        joint = "" if message.startswith(":") or not field else "."
        return f"{field}{joint}{message}"
    # a field of several types fails once a type: say all that would have been allowed
    if kind == "string_type" and value is not None:
        return f"{field}: {value!r} is not text: put it in quotes"
    allowed = dict.fromkeys(e["msg"][0].lower() + e["msg"][1:] for e in errors if _path(e) == path)
    return f"{field}: {value!r} is not allowed: {', or '.join(allowed)}"


def _path(error: Any) -> list[str]:
    """The field's path, less the members of a union that pydantic puts into it (`constrained-int`)."""
    return [
        str(part) for part in error["loc"] if isinstance(part, int) or not re.search(r"[\[(,]|^[a-z]+-|^int$", part)
    ]


def _nearest(path: list[str], of: type[Section]) -> str:
    section: Any = of
    for part in path[:-1]:
        section = _below(section, part)
    if not (isinstance(section, type) and issubclass(section, Section)):
        return ""
    fields = list(section.model_fields)
    close = get_close_matches(path[-1], fields, n=1)
    where = ".".join(path[:-1])
    return (
        f"; did you mean {'.'.join([*path[:-1], close[0]])}?"
        if close
        else f"; {where or ('a run' if of is RunConfig else 'it')} has {', '.join(fields)}"
    )


def _below(kind: Any, name: str) -> Any:
    """What a field of a section, or an entry of a table of sections, is to hold."""
    if isinstance(kind, type) and issubclass(kind, Section):
        return kind.model_fields[name].annotation if name in kind.model_fields else None
    return get_args(kind)[-1] if get_origin(kind) is dict else None

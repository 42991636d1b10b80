"""What the forms of all pipelines have: their fields, the run that they are about, and how their values are read.

Kubeflow's UI sorts a form by name and shows no description: names say what group a field is of, what must be given
comes first, and an empty field means what the preset says. The descriptions stand in the pipeline's.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ..config import RunConfig
from ..config.fields import flat_fields
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
        field: of the configuration, or its section; its blank in the form means what the preset says.
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


ADDRESS: Final = (
    Entry(ROOT, str, "where everything is kept, s3://bucket/prefix; must be given", default=None),
    Entry(
        RUN_NAME,
        str,
        "at most 48 lower-case letters, digits and dashes; under the same name a run goes on; empty, the id of this "
        "Kubeflow run",
    ),
)


def number(name: str, field: str, help: str) -> Entry:
    """A number, given as text."""
    return Entry(name, str, help, field, is_number=True)


@dataclass(frozen=True)
class Form:
    """What is filled in to start a run of a pipeline.

    Attributes:
        entries: sorted by name, as the UI shows them.
        config_of: the configuration that values say; raises Fatal with one line that names the field, its value and
            what is allowed, and where in the form it stands.
        line_of: the words of a command line that says the same.
    """

    entries: tuple[Entry, ...]
    config_of: Callable[[Mapping[str, Any]], RunConfig]
    line_of: Callable[[Run, Mapping[str, Any]], list[str]]


def run_of(values: Mapping[str, Any]) -> Run:
    """The run that a form is about.

    Raises:
        Fatal: the root or the name is not one.
    """
    root = text_of(values, ROOT)
    if not root:
        raise Fatal(f"{ROOT}: missing: give s3://bucket/prefix")
    try:
        return Run.at(root, text_of(values, RUN_NAME) or text_of(values, RUN_ID))
    except Fatal as error:
        name = RUN_NAME if str(error).startswith("run name:") else ROOT
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


def settings_of(entries: Iterable[Entry], values: Mapping[str, Any]) -> list[str]:
    """`--set` options for the fields that have an entry of their own and are not left empty."""
    return [
        f"{entry.field}={text_of(values, entry.name) if entry.is_number else json.dumps(value)}"
        for entry in entries
        if entry.field and (value := whole(values.get(entry.name))) not in (None, entry.blank)
    ]


def as_settings(fields: Mapping[str, Any]) -> list[str]:
    """`--set` options for fields by dotted name, sorted: protobuf's maps have no order."""
    return [f"{field}={json.dumps(value, ensure_ascii=False)}" for field, value in sorted(fields.items())]


def set_words(settings: Iterable[str]) -> list[str]:
    """The words of a command line that give settings."""
    return [word for setting in settings for word in ("--set", setting)]


def placed(entries: Iterable[Entry], rest: dict[str, Any]) -> dict[str, Any]:
    """The fields that have an entry of their own, which are taken out of the rest."""
    form: dict[str, Any] = {}
    for entry in entries:
        if entry.field in rest:
            value = rest[entry.field]
            fits = type(value) in (int, float) if entry.is_number else isinstance(value, entry.type)
            if fits and value != entry.blank:
                form[entry.name] = str(value) if entry.is_number else value
                del rest[entry.field]
    return form


def in_the_form(error: Fatal, entries: Iterable[Entry], values: Mapping[str, Any]) -> Fatal:
    """The line of a configuration that is wrong, with the name of the entry to look at."""
    field = str(error).partition(":")[0]
    names = [entry.name for entry in entries if entry.field and f"{field}.".startswith(f"{entry.field}.")]
    name = "overrides" if field in flat_fields(overrides_of(values)) or not names else names[0]
    return Fatal(f"{error} ({name} in the form)")


def overrides_of(values: Mapping[str, Any]) -> Mapping[str, Any]:
    overrides = whole(values.get("overrides") or {})
    if not isinstance(overrides, Mapping):
        raise Fatal(f"overrides: {json.dumps(overrides)} is not a JSON object of fields")
    return overrides


def text_of(values: Mapping[str, Any], name: str) -> str:
    value = whole(values.get(name))
    return "" if value is None else str(value).strip()

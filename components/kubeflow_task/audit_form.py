"""The form of an audit in Kubeflow's UI: of the audit pipeline, and of the component that is a whole audit."""

from collections.abc import Mapping
from typing import Any, Final

from ..config import RunConfig, resolve
from ..config.fields import flat_fields
from ..failure import Fatal
from ..run import Run
from ..store import open_store
from .entry import (
    ADDRESS,
    ROOT,
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

SUBJECT: Final = "audit_subject"
HELD_OUT: Final = "audit_held_out"
DATA: Final = "data_source"
PROMPTS: Final = "sample_prompts"

AUDIT_FORM: Final[tuple[Entry, ...]] = (
    *ADDRESS,
    Entry(
        HELD_OUT,
        str,
        "real images of the same kind that the model was not trained on, s3://bucket/prefix; without held-out images "
        "there is no floor and no verdict",
        "audit.held_out",
    ),
    Entry(
        SUBJECT,
        str,
        "what is audited: a pipeline in diffusers' form or images that were generated elsewhere, s3://bucket/prefix; a "
        "run of the same root, ROOT/runs/NAME; or OWNER/NAME of a model hub; must be given",
        "audit",
        default=None,
    ),
    number("data_prepare_parts", "execution.prepare_parts", "pods that pack the images side by side before prepare"),
    Entry(
        DATA,
        str,
        "what the model was trained on, s3://bucket/prefix; empty for a run, which has its own",
        "data.source",
    ),
    Entry(
        "overrides",
        dict,
        'any other field of the configuration, such as {"audit": {"values": "0..1"}}; wins over the other fields',
        default={},
    ),
    number("sample_count", "sample.count", "images generated for the report"),
    number("sample_guidance", "sample.guidance_scale", "classifier-free guidance of a text-to-image model; 1 for none"),
    Entry(
        PROMPTS,
        str,
        "what a text-to-image model is asked for: training or held_out (their captions), or a text file, "
        "s3://bucket/key, with a prompt a line",
        "sample.prompts",
    ),
    Entry("sample_sampler", str, "base (the model's own), ddpm or ddim: sample as you will ship", "sample.sampler"),
    number("sample_steps", "sample.steps", "denoising steps"),
    Entry("seed", int, "of the noise that images are made of", "seed", default=0),
)
"""Sorted by name, as the UI shows it."""
_BY_NAME: Final = (SUBJECT, DATA, HELD_OUT, PROMPTS)
"""What `unecho audit` has options of its own for."""


def config_of(values: Mapping[str, Any]) -> RunConfig:
    """The configuration that a form says.

    Raises:
        Fatal: one line that names the field, its value and what is allowed, and where in the form it stands.
    """
    from ..run.audited import audit_config  # it looks into models, and loads more than other steps need

    subject, data, held_out, prompts = (text_of(values, name) for name in _BY_NAME)
    if not subject:
        raise Fatal(f"{SUBJECT}: missing: give the address of the model, run or images to audit")
    settings = tuple(_settings(values))
    try:
        store = open_store(text_of(values, ROOT))
        return audit_config(store, subject, data or None, held_out or None, prompts or None, settings=settings)
    except Fatal as error:
        raise in_the_form(error, AUDIT_FORM, values) from None


def filled(
    subject: str, data: str | None, held_out: str | None, prompts: str | None, given: Mapping[str, Any]
) -> dict[str, Any]:
    """The form of what `unecho audit` is given: what has an entry of its own there, the rest as overrides.

    Args:
        given: a tree of fields.
    """
    chosen = zip(_BY_NAME, (subject, data or "", held_out or "", prompts or ""), strict=True)
    rest = flat_fields(given)
    form = placed((entry for entry in AUDIT_FORM if entry.name not in _BY_NAME), rest)
    return dict(chosen) | form | {"overrides": rest}


def fields_of(values: Mapping[str, Any]) -> RunConfig:
    """The configuration as far as the form alone says it: what lies at its addresses, only pods may be able to see.

    Raises:
        Fatal: a field is none of the configuration, or its value is not allowed.
    """
    try:
        return resolve(settings=(f"audit.model={text_of(values, SUBJECT)}", *_settings(values)))
    except Fatal as error:
        raise in_the_form(error, AUDIT_FORM, values) from None


def line_of(run: Run, values: Mapping[str, Any]) -> list[str]:
    """The whole audit, as a person would type it."""
    words = ["unecho", "audit", text_of(values, SUBJECT), "--root", text_of(values, ROOT), "--name", run.name]
    for option, name in zip(("--data", "--held-out", "--prompts"), _BY_NAME[1:], strict=True):
        if value := text_of(values, name):
            words += [option, value]
    return words + set_words(_settings(values))


def _settings(values: Mapping[str, Any]) -> list[str]:
    own = settings_of((entry for entry in AUDIT_FORM if entry.name not in _BY_NAME), values)
    return own + as_settings(flat_fields(overrides_of(values)))


AUDIT: Final = Form(AUDIT_FORM, config_of, line_of)

"""The form of a retraining in Kubeflow's UI: of its pipeline, and of the component that is a whole retraining."""

import json
from collections.abc import Mapping
from typing import Any, Final

from ..failure import Fatal
from .entry import ROOT, RUN_NAME, Entry, set_words, text_of, whole
from .form import FORM, options_of
from .form import filled as training_filled

MODEL: Final = "release_model"
POLICY: Final = "release_policy"
BY: Final = "release_by"
_USUAL: Final = "Kubeflow Pipelines"

RETRAIN_FORM: Final[tuple[Entry, ...]] = tuple(
    sorted(
        (
            *(entry for entry in FORM if entry.name != RUN_NAME),
            Entry(BY, str, f"who releases, on record; empty: {_USUAL}"),
            Entry(MODEL, str, "what the model is released as; must be given", default=None),
            Entry(
                POLICY,
                dict,
                'the policy of the gate, such as {"quality": {"precision": {"at_least": 0.5}}}; empty: the verdict has '
                "to be no echo",
                default={},
            ),
        ),
        key=lambda entry: entry.name,
    )
)
"""Sorted by name, as the UI shows it. A run's name goes by its data and its configuration: none is asked for."""


def filled(
    model: str,
    policy: Mapping[str, Any],
    by: str | None,
    preset: str | None,
    variant: str | None,
    given: Mapping[str, Any],
) -> dict[str, Any]:
    """The form of what `unecho retrain` is given.

    Args:
        policy: as its file says it.
        given: a tree of fields.
    """
    return {MODEL: model, POLICY: dict(policy), BY: by or ""} | training_filled(preset, variant, given)


def policy_of(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """The policy that a form says, as its file would.

    Raises:
        Fatal: it is no JSON object.
    """
    policy = whole(values.get(POLICY) or {})
    if not isinstance(policy, Mapping):
        raise Fatal(f"{POLICY}: {json.dumps(policy)} is not a JSON object, such as docs/gate.yaml is one in YAML")
    return policy


def words_of(values: Mapping[str, Any], policy: str, out: str) -> list[str]:
    """The whole retraining, as a person would type it.

    Args:
        policy: the file that has it; out: the directory where the gate's answer goes.

    Raises:
        Fatal: the root or the model's name is missing, or overrides is no JSON object.
    """
    words = ["unecho", "retrain"]
    for option, name, wanted in (("--model", MODEL, "dogs"), ("--root", ROOT, "s3://bucket/prefix")):
        if not (value := text_of(values, name)):
            raise Fatal(f"{name}: missing: give a value such as {wanted}")
        words += [option, value]
    words += ["--policy", policy, "--if-changed", "--by", text_of(values, BY) or _USUAL, "--out", out]
    preset, variant, settings = options_of(values)
    words += ["--preset", preset] if preset else []
    words += ["--variant", variant] if variant else []
    return words + set_words(settings)

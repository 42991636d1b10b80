"""What a filled-in form of an audit means, and what a wrong one says."""

from pathlib import Path
from typing import Any

import pytest

from tests.given import save_ddpm
from unecho.components.config.resolve import given_fields
from unecho.components.failure import Fatal
from unecho.components.kubeflow_task.audit_form import AUDIT_FORM, config_of, fields_of, filled, line_of
from unecho.components.kubeflow_task.entry import run_of
from unecho.components.kubeflow_task.form import TRAINING
from unecho.components.kubeflow_task.forms import form_of
from unecho.components.run.audited import audit_config
from unecho.components.store import open_store
from unecho.pipelines.commands.audit import parser


@pytest.fixture
def form(tmp_path: Path) -> dict[str, Any]:
    """What must be given, of a model; the rest as it is shown."""
    untouched = {entry.name: entry.default for entry in AUDIT_FORM}
    given = {
        "address_root": str(tmp_path / "root"),
        "address_run_name": "a",
        "audit_subject": str(save_ddpm(tmp_path / "model", timesteps=50)),
        "data_source": "digits",
    }
    return untouched | given


def test_the_form_is_sorted_by_name_as_the_ui_shows_it() -> None:
    names = [entry.name for entry in AUDIT_FORM]
    assert names == sorted(names)
    assert [entry.name for entry in AUDIT_FORM if entry.default is None] == ["address_root", "audit_subject"]


def test_an_audit_is_told_by_its_subject(form: dict[str, Any]) -> None:
    assert form_of(form).entries == AUDIT_FORM
    assert form_of({"address_root": "s3://models/unecho"}) is TRAINING


def test_a_form_means_what_the_command_line_means_that_says_the_same(form: dict[str, Any]) -> None:
    values = form | {
        "overrides": {"data": {"held_out": 0.25}, "evaluate.neighbours": 10.0},
        "sample_count": "24",
        "sample_steps": "2",
        "sample_sampler": "ddim",
        "seed": 7.0,
    }
    words = line_of(run_of(values), values)
    assert words[:2] == ["unecho", "audit"]
    arguments = parser().parse_args(words[2:])
    assert (arguments.root, arguments.name) == (form["address_root"], "a")
    typed = audit_config(
        open_store(arguments.root), arguments.subject, arguments.data, arguments.held_out, settings=tuple(arguments.set)
    )
    assert config_of(values) == typed
    assert (typed.audit.model, typed.data.source) == (form["audit_subject"], "digits")
    assert (typed.sample.count, typed.sample.steps, typed.sample.sampler, typed.seed) == (24, 2, "ddim", 7)
    assert (typed.data.held_out, typed.evaluate.neighbours) == (0.25, 10)


def test_options_fill_in_the_form(form: dict[str, Any]) -> None:
    given = given_fields(settings=("sample.steps=2", "seed=3", "data.held_out=0.25", "sample.parts=1"))
    made = filled(form["audit_subject"], "digits", None, None, given)
    assert made == {
        "audit_subject": form["audit_subject"],
        "data_source": "digits",
        "audit_held_out": "",
        "sample_prompts": "",
        "sample_steps": "2",
        "seed": 3,
        "overrides": {"data.held_out": 0.25, "sample.parts": 1},
    }
    assert config_of(form | made).sample.steps == 2


@pytest.mark.parametrize(
    ("values", "says", "name"),
    [
        ({"audit_subject": "NOWHERE"}, "audit: NOWHERE: no such run, directory or prefix", "audit_subject"),
        ({"data_source": ""}, "data.source: an audit of ", "data_source"),
        ({"sample_steps": "0"}, "sample.steps: 0 is not allowed", "sample_steps"),
        ({"sample_prompts": "held_out"}, "sample.prompts: held_out: a DDPMPipeline takes no prompts", "sample_prompts"),
        ({"overrides": {"audit": {"values": "0..2"}}}, "audit.values: '0..2' is not allowed", "overrides"),
        (
            {"audit_held_out": "digits", "overrides": {"data.held_out": 0.5}},
            "audit.held_out: digits beside data.held_out 0.5",
            "audit_held_out",
        ),
    ],
)
def test_a_wrong_value_is_one_line_that_names_the_forms_field(
    form: dict[str, Any], values: dict[str, Any], says: str, name: str
) -> None:
    with pytest.raises(Fatal) as error:
        config_of(form | values)
    assert str(error.value).startswith(says)
    assert str(error.value).endswith(f" ({name} in the form)")
    assert "\n" not in str(error.value)


def test_a_form_without_a_subject_is_one_line(form: dict[str, Any]) -> None:
    with pytest.raises(Fatal, match=r"^audit_subject: missing: give the address of the model, run or images to audit$"):
        config_of(form | {"audit_subject": " "})


def test_fields_alone_are_checked_where_the_addresses_cannot_be_seen() -> None:
    elsewhere = filled("s3://nowhere/model", "s3://nowhere/data", None, None, {"sample": {"parts": 3}})
    assert fields_of(elsewhere).sizes()["parts"] == 3
    with pytest.raises(Fatal, match=r"^sample.steps: 0 is not allowed.* \(sample_steps in the form\)$"):
        fields_of(elsewhere | {"sample_steps": "0"})

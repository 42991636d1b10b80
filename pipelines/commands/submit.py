"""unecho submit: a run on Kubeflow, from a command line."""

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from typing import Any

from ...components.config.command_line import add_config_arguments
from ...components.config.resolve import given_fields
from ...components.failure import Fatal
from ...components.kubeflow_task.audit_form import SUBJECT, fields_of
from ...components.kubeflow_task.audit_form import filled as audit_filled
from ...components.kubeflow_task.entry import ROOT, RUN_NAME
from ...components.kubeflow_task.form import config_of, filled
from ...components.run.address import check_name
from ..kubeflow.definition import AUDIT, DEFINITIONS, add_pipeline_argument
from ..kubeflow.pods import add_pod_arguments
from ..kubeflow.submission import add_submission_arguments, submit


def main(argv: Sequence[str]) -> None:
    """Compile, upload, start; wait if asked. What a wrong form says is said here, before anything is uploaded."""
    arguments = parser().parse_args(argv)
    definition = DEFINITIONS[arguments.pipeline]
    form = form_from(arguments)
    config = fields_of(form) if definition is AUDIT else config_of(form)
    submit(arguments, definition, form, config, _title(form))


def form_from(arguments: Namespace) -> dict[str, Any]:
    """The form that the options fill in.

    Raises:
        Fatal: what `unecho run` would say of the same options; or pods cannot reach the root.
    """
    root = arguments.root or ""
    if not root:
        raise Fatal("--root: missing: give s3://bucket/prefix, which pods can reach")
    if not root.startswith("s3://"):
        raise Fatal(f"--root: '{root}' is not s3://bucket/prefix, which pods can reach")
    if arguments.name:
        check_name(arguments.name)
    return {ROOT: root.rstrip("/"), RUN_NAME: arguments.name or ""} | _chosen(arguments)


def _chosen(arguments: Namespace) -> dict[str, Any]:
    """The form less its address."""
    fields = given_fields(arguments.config, tuple(arguments.set))
    of_audits = {name: getattr(arguments, name) for name in ("subject", "data", "held_out", "prompts")}
    of_training = {name: getattr(arguments, name) for name in ("preset", "variant")}
    is_audit = arguments.pipeline == "audit"
    for name, value in (of_training if is_audit else of_audits).items():
        if value is not None:
            other = "an audit has none" if is_audit else "is of an audit (--pipeline audit)"
            raise Fatal(f"--{name.replace('_', '-')}: {value}: {other}: leave it out")
    if not is_audit:
        return filled(arguments.preset, arguments.variant, fields)
    if not arguments.subject:
        raise Fatal("--subject: missing: give the address of the model, run or images to audit")
    return audit_filled(arguments.subject, arguments.data, arguments.held_out, arguments.prompts, fields)


def _title(form: Mapping[str, Any]) -> str:
    """Of a run without a name."""
    if SUBJECT in form:
        return f"audit of {form[SUBJECT]}"
    return f"{form['data_preset'] or 'run'} {form['method_variant']}".strip()


def parser() -> ArgumentParser:
    """The command's options."""
    options = ArgumentParser(
        prog="unecho submit",
        description="Compile the pipeline, upload it to Kubeflow Pipelines where it is not there yet, and start a run.",
    )
    add_submission_arguments(options)
    add_pipeline_argument(options)
    options.add_argument("--name", help="name of the run (default: the id of the Kubeflow run)")
    audit = options.add_argument_group("audit", "what pods can reach, see unecho audit --help")
    audit.add_argument("--subject", metavar="ADDRESS", help="the model, run or images to audit")
    audit.add_argument("--data", metavar="SOURCE", help="what the model was trained on")
    audit.add_argument("--held-out", metavar="SOURCE", help="real images of the same kind that it was not trained on")
    audit.add_argument("--prompts", metavar="FILE", help="training, held_out, or a text file with a prompt a line")
    add_config_arguments(options)
    add_pod_arguments(options)
    return options

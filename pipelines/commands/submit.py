"""unecho submit: a run, an audit or a retraining on Kubeflow, from a command line."""

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ...components.config.command_line import add_config_arguments
from ...components.config.resolve import given_fields
from ...components.failure import Fatal
from ...components.kubeflow_task.audit_form import SUBJECT, fields_of
from ...components.kubeflow_task.audit_form import filled as audit_filled
from ...components.kubeflow_task.entry import ROOT, RUN_NAME
from ...components.kubeflow_task.form import config_of, filled
from ...components.kubeflow_task.retrain_form import MODEL
from ...components.kubeflow_task.retrain_form import filled as retrain_filled
from ...components.run.address import check_name
from ..gate.policy import read_policy
from ..kubeflow.cron import OFF, kubeflow_cron
from ..kubeflow.definition import AUDIT, DEFINITIONS, IET, RETRAIN, add_pipeline_argument
from ..kubeflow.pods import accelerators_of, add_pod_arguments
from ..kubeflow.submission import add_submission_arguments, schedule, submit, unschedule
from ..releasing import whoever


def main(argv: Sequence[str]) -> None:
    """Compile, upload, start; wait if asked. What a wrong form says is said here, before anything is uploaded."""
    arguments = parser().parse_args(argv)
    _refuse_others(arguments)
    if arguments.schedule == OFF:
        unschedule(arguments, _title(_model_at(arguments)))
        return
    definition = DEFINITIONS[arguments.pipeline]
    form = form_from(arguments)
    config = fields_of(form) if definition is AUDIT else config_of(form)
    if definition is RETRAIN and arguments.resume:
        raise Fatal("--resume: a retraining goes on with its run when the same command is given again: give --wait")
    if definition is not AUDIT:
        given = arguments.accelerators_per_shard
        arguments.accelerators_per_shard = accelerators_of(given, config_of(form), exactly=definition is IET)
    if arguments.schedule is not None:
        schedule(arguments, definition, form, _title(form), kubeflow_cron(arguments.schedule))
    else:
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
    of_run = {} if arguments.pipeline == "retrain" else {RUN_NAME: arguments.name or ""}
    return {ROOT: root.rstrip("/")} | of_run | _chosen(arguments)


def _chosen(arguments: Namespace) -> dict[str, Any]:
    """The form less its address."""
    fields = given_fields(arguments.config, tuple(arguments.set))
    if arguments.pipeline == "audit":
        if not arguments.subject:
            raise Fatal("--subject: missing: give the address of the model, run or images to audit")
        return audit_filled(arguments.subject, arguments.data, arguments.held_out, arguments.prompts, fields)
    if arguments.pipeline == "retrain":
        return _retraining(arguments, fields)
    return filled(arguments.preset, arguments.variant, fields)


def _retraining(arguments: Namespace, fields: Mapping[str, Any]) -> dict[str, Any]:
    for name, wanted in (("model", "the name that it is released as"), ("policy", "a file such as docs/gate.yaml")):
        if not getattr(arguments, name):
            raise Fatal(f"--{name}: missing: give {wanted}")
    check_name(arguments.model, "model")
    by = None if arguments.by is None else whoever(arguments.by)
    policy = read_policy(arguments.policy).policy.model_dump(mode="json", exclude_unset=True)
    return retrain_filled(arguments.model, policy, by, arguments.preset, arguments.variant, fields)


_OWN: Final[Mapping[str, tuple[str, ...]]] = {
    "iet": ("name", "preset", "variant"),
    "audit": ("name", "subject", "data", "held_out", "prompts"),
    "retrain": ("preset", "variant", "model", "policy", "by", "schedule"),
}
"""Options that not every pipeline has."""
_CALLED: Final = {"iet": "a run", "audit": "an audit", "retrain": "a retraining"}


def _refuse_others(arguments: Namespace) -> None:
    """Whether every option is of this pipeline.

    Raises:
        Fatal: one is of others.
    """
    mine = arguments.pipeline
    for name in sorted({name for names in _OWN.values() for name in names}):
        value = getattr(arguments, name)
        if value is None or name in _OWN[mine]:
            continue
        owners = [pipeline for pipeline, names in _OWN.items() if name in names]
        other = f"is of {_CALLED[owners[0]]} (--pipeline {owners[0]})" if len(owners) == 1 else ""
        raise Fatal(f"--{name.replace('_', '-')}: {value}: {other or f'{_CALLED[mine]} has none'}: leave it out")


def _model_at(arguments: Namespace) -> dict[str, Any]:
    """Of a retraining that is not to recur any more: a form as far as it tells which."""
    if not arguments.model or not arguments.root:
        raise Fatal(f"--schedule {OFF}: of which model? give --model and --root as they were given before")
    return {MODEL: arguments.model, ROOT: arguments.root.rstrip("/")}


def _title(form: Mapping[str, Any]) -> str:
    """Of a run without a name, or of what recurs."""
    if MODEL in form:
        return f"retrain {form[MODEL]} ({form[ROOT]})"
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
    retraining = options.add_argument_group("retraining", "see unecho retrain --help")
    retraining.add_argument("--model", metavar="NAME", help="what the model is released as")
    retraining.add_argument("--policy", type=Path, metavar="FILE", help="of the gate: YAML, such as docs/gate.yaml")
    retraining.add_argument("--by", metavar="WHO", help="who releases, on record (default: Kubeflow Pipelines)")
    retraining.add_argument(
        "--schedule",
        metavar="CRON",
        help=f"let it recur, such as '0 3 * * *' (UTC), in place of what recurs for that model; {OFF} disables it",
    )
    add_config_arguments(options)
    add_pod_arguments(options)
    return options

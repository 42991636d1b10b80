"""unecho retrain: what is released, on the data as they are now, if the gate lets it pass."""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from rich.console import Console

from ...components.config import RunConfig
from ...components.config.command_line import add_config_arguments, config_from
from ...components.config.resolve import given_fields
from ...components.failure import DONE, Beaten, Fatal
from ...components.kubeflow_task.options import add_kubeflow_arguments
from ...components.log import emit, is_json, write_termination_message
from ...components.run import DatasetRecord, Plan, Run
from ...components.run.address import check_name
from ...components.run.released import ReleasedModel
from ...components.run.state import state_of
from ...components.store import Store, open_store
from ..after_prepare import AfterPrepare
from ..gate.policy import read_policy
from ..gate.writing import tell as tell_gate
from ..kubeflow.pods import add_pod_arguments
from ..kubeflow.submission import add_submission_arguments
from ..loop import Engine, iet
from ..releasing import whoever
from ..retraining.looking import Ended, Prepared, leave_nothing
from ..retraining.outcome import Outcome
from ..retraining.retraining import Retraining
from ..retraining.wanted import Wanted, wanted_of
from .gate import REFUSED
from .looped import run_to_the_end
from .options import DEFAULT_ROOT, add_cluster_arguments, add_gate_arguments, add_root_argument, refuse_audit

_OF_TRAINING: Final = ("name", "preset", "variant", "config", "set")
"""Options that say what is trained: a run that has ended has its own."""


def main(argv: Sequence[str]) -> int:
    """Train what is to be released, gate it and promote it; or end at once where nothing has changed.

    Returns:
        The exit status: 0 promoted, unchanged or submitted, 1 the gate was not passed.

    Raises:
        Beaten: another job was first.
    """
    options = parser()
    arguments = options.parse_args(argv)
    console = Console(highlight=False, markup=False, stderr=arguments.json)
    if arguments.kubeflow is not None:
        from ..kubeflow.retrain_task import run_retraining  # only where it is asked for

        def retrain(words: Sequence[str]) -> Outcome:
            return _outcome_of(options.parse_args(words), console)

        outcome = run_retraining(arguments.kubeflow, dict(arguments.artifact), retrain, console)
    else:
        if missing := [f"--{name}" for name in ("model", "policy") if getattr(arguments, name) is None]:
            options.error(f"the following arguments are required: {', '.join(missing)}")
        outcome = _outcome_of(arguments, console)
    _tell(console, outcome, arguments.json)
    if outcome.outcome == "beaten":
        raise Beaten(outcome.line)
    return DONE if outcome.is_good else REFUSED


def parser() -> ArgumentParser:
    """The command's options."""
    options = ArgumentParser(
        prog="unecho retrain",
        description="Train on the data as they are now, gate the model, and release it under a name if it passes. "
        "Given again, wherever it was ended, the same command goes on with the same run.",
        epilog="Exit status: 0 promoted, unchanged, or submitted to Kubeflow; 1 the gate was not passed, or another "
        "job was first, and nothing was changed; 2 a mistake, told before anything trains.",
    )
    # required, but on Kubeflow a form says them
    options.add_argument("--model", metavar="NAME", help="what the model is released as (required)")
    add_gate_arguments(options, required=False)
    options.add_argument(
        "--if-changed",
        action="store_true",
        help="end at once where data set and configuration are those of what is released",
    )
    options.add_argument("--run", metavar="RUN", help="gate and promote ROOT/runs/NAME, which has ended; train nothing")
    options.add_argument("--name", help="of the run (default: the model's, and a hash of data and configuration)")
    options.add_argument("--by", metavar="WHO", help="who decides (default: the CI system's actor, or your login name)")
    options.add_argument("--json", action="store_true", help="how it ended, as one JSON object on standard output")
    add_root_argument(options)
    options.add_argument(
        "--engine",
        choices=("local", "jobs", "kubeflow"),
        default="local",
        help="here, as Jobs of a Kubernetes cluster, or on Kubeflow (default: %(default)s)",
    )
    add_config_arguments(options)
    add_cluster_arguments(options)
    add_submission_arguments(options, namespace=False)
    add_pod_arguments(options, root=False)
    add_kubeflow_arguments(options)
    return options


def _outcome_of(arguments: Namespace, console: Console) -> Outcome:
    return _of_ended_run(arguments) if arguments.run else _of_data(arguments, console)


def _of_ended_run(arguments: Namespace) -> Outcome:
    """The gate and the promotion alone."""
    for name in _OF_TRAINING:
        if value := getattr(arguments, name):
            raise Fatal(f"--{name}: {value}: beside --run, and a run that has ended has its own: leave it out")
    run = Run.parse(arguments.run)
    if arguments.root != DEFAULT_ROOT and (root := open_store(arguments.root).url) != run.store.url:
        raise Fatal(f"{run.url}: lies at another root than {root}, where the model is released: leave --root out")
    retraining = _retraining(arguments, run.store)
    retraining.check()
    return retraining.judge(run)


def _of_data(arguments: Namespace, console: Console) -> Outcome:
    """A run of the data as they are now, and what follows."""
    config = config_from(arguments)
    refuse_audit(config)
    store = open_store(arguments.root)
    if arguments.name:
        check_name(arguments.name)
    retraining = _retraining(arguments, store)
    retraining.check(config)
    wanted = wanted_of(store, config)
    if ended := retraining.known(wanted):
        return ended
    run = Run(store, arguments.name or wanted.run_name(arguments.model))
    if arguments.name:
        _check_own(run, wanted)
    try:
        if arguments.engine != "kubeflow":
            _train(arguments, retraining, run, config, wanted, console)
        elif not _trained_on_kubeflow(arguments, retraining, run, config, wanted, console):
            return retraining.submitted(run)
    except Ended as early:
        leave_nothing(run)
        return early.outcome
    return retraining.judge(run)


def _check_own(run: Run, wanted: Wanted) -> None:
    """Whether a run that was named and has begun is one of the data and deletion requests as they are now.

    Raises:
        Fatal: it is not, as far as is known: it would be taken for one of today's data, trained or not.
    """
    if run.find(Plan, 0) is None:
        return
    dataset = run.find(DatasetRecord)
    if (run.plan().forgotten != wanted.forgotten) if dataset is None else (dataset.digest != wanted.dataset):
        raise Fatal(
            f"--name: {run.name}: has begun on other data than are there now, or before a deletion request or with "
            "files that were touched since: leave --name out, or give another; unecho retrain --run "
            f"{run.url} gates it as it is, once it has ended"
        )


def _retraining(arguments: Namespace, store: Store) -> Retraining:
    return Retraining(
        ReleasedModel(store, arguments.model),
        read_policy(arguments.policy),
        whoever(arguments.by),
        arguments.out,
        arguments.if_changed,
    )


def _train(
    arguments: Namespace,
    retraining: Retraining,
    run: Run,
    config: RunConfig,
    wanted: Wanted,
    console: Console,
    *,
    elsewhere: bool = False,
) -> None:
    """The whole loop, unless nothing has changed; its beginning alone where the rest is done elsewhere.

    Raises:
        Ended: nothing has changed.
        Prepared: it is done elsewhere.
    """

    def look() -> None:
        if outcome := retraining.look(run, config, wanted):
            raise Ended(outcome)
        if elsewhere:
            raise Prepared

    def loop(engine: Engine) -> None:
        iet(AfterPrepare(engine, look))

    run_to_the_end(loop, arguments, run, config, console)


def _trained_on_kubeflow(
    arguments: Namespace, retraining: Retraining, run: Run, config: RunConfig, wanted: Wanted, console: Console
) -> bool:
    """Submit a run that has not ended, and wait for it if asked. Whether anything has changed is looked at here.

    Returns:
        Whether it has ended.

    Raises:
        Ended: nothing has changed.
    """
    from ...components.kubeflow_task.entry import ROOT, RUN_NAME
    from ...components.kubeflow_task.form import config_of, filled
    from ..kubeflow.definition import IET
    from ..kubeflow.pods import accelerators_of
    from ..kubeflow.submission import submit

    if not run.store.url.startswith("s3://"):
        raise Fatal(f"--root: '{run.store.url}' is not s3://bucket/prefix, which pods can reach")
    if _has_ended(run):
        return True
    if retraining.if_changed:
        with suppress(Prepared):
            _train(Namespace(engine="local"), retraining, run, config, wanted, console, elsewhere=True)
    form: dict[str, Any] = {ROOT: run.store.url, RUN_NAME: run.name}
    form |= filled(arguments.preset, arguments.variant, given_fields(arguments.config, tuple(arguments.set)))

    def tell(line: str) -> None:
        console.print(line, soft_wrap=True)

    arguments.accelerators_per_shard = accelerators_of(arguments.accelerators_per_shard, config)
    submit(arguments, IET, form, config_of(form), run.name, tell, once=True)
    return bool(arguments.wait or arguments.resume)


def _has_ended(run: Run) -> bool:
    if run.find(Plan, 0) is None:
        return False
    return state_of(run).report is not None


def _tell(console: Console, outcome: Outcome, as_json: bool) -> None:
    """For people the gate's table and a line; for machines a line with what it is about, or all of it."""
    if as_json:
        print(outcome.model_dump_json(indent=1), flush=True)
    if is_json():
        fields = outcome.model_dump(include={"outcome", "model", "number", "folder", "run"})
        emit(outcome.line, level="info" if outcome.is_good else "error", **fields)
    elif not as_json:
        if outcome.gate is not None:
            tell_gate(console, outcome.gate)
            console.print()
        if outcome.outcome != "beaten":  # which is told as what has failed is
            console.print(outcome.line, soft_wrap=True)
        if outcome.outcome == "promoted":
            console.print(f"model   {outcome.folder}", soft_wrap=True)
    if outcome.outcome == "failed":
        write_termination_message(outcome.line)

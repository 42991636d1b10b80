"""A filled-in form becomes a run on Kubeflow: the pipeline is compiled, uploaded where it is not there yet, started."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from ...components.config import RunConfig
from ...components.failure import Fatal
from ...components.kubeflow_task.entry import ROOT, RUN_NAME
from . import needing_kfp
from .cautions import of_kubeflows_store, of_many_pods, warn
from .definition import Definition
from .pods import Pods, pods_from

if TYPE_CHECKING:
    from .client import Kubeflow, Version


def submit(
    arguments: Namespace,
    definition: Definition,
    form: dict[str, Any],
    config: RunConfig,
    title: str,
    tell: Callable[[str], None] = lambda line: print(line, flush=True),
    once: bool = False,
) -> None:
    """Compile, upload, start; wait if asked.

    Args:
        arguments: of `add_submission_arguments` and `add_pod_arguments`, and the namespace.
        form: gets the name of the run, where it has none.
        config: what the form says.
        title: in the UI, of a run without a name.
        once: a run of that title that is under way is taken, where there is one, and no other is started.

    Raises:
        Fatal: there is no image, or Kubeflow refuses us.
        Stopped: it was waited for, and the run has failed.
    """
    pods = pods_from(arguments)
    warn(*of_kubeflows_store(pods, form[ROOT], arguments.namespace))
    if definition.loop:  # a retraining is one pod
        warn(*of_many_pods(config.sizes()))
    with needing_kfp():
        from .client import Kubeflow
        from .waiting import finish
    kubeflow = Kubeflow(arguments.host, arguments.namespace, arguments.token_file, arguments.ca)
    with TemporaryDirectory() as folder:
        path = Path(folder, f"{definition.name}.yaml")
        version = _uploaded(kubeflow, arguments, definition, pods, path)

        def start(before: int) -> str:
            shown = form.get(RUN_NAME) or title
            shown += f", start {before + 1}" if before else ""
            run_id = kubeflow.underway(shown) if once and not before else None
            run_id = run_id or kubeflow.start(version, arguments.experiment, shown, form, arguments.service_account)
            if RUN_NAME in form:  # a second start goes on with the first one's run; a retraining finds its run itself
                form[RUN_NAME] = form[RUN_NAME] or run_id
                tell(f"run  {form[ROOT]}/runs/{form[RUN_NAME]}")
            tell(f"link {kubeflow.link(run_id)}")
            return run_id

        if arguments.wait or arguments.resume:
            finish(kubeflow, start, form, config, arguments.resume, path, lambda line: tell(_at(line)))
        else:
            start(0)


def schedule(arguments: Namespace, definition: Definition, form: dict[str, Any], name: str, cron: str) -> None:
    """Compile, upload, and let it recur in place of what recurs under that name.

    Args:
        cron: as Kubeflow reads it.

    Raises:
        Fatal: there is no image, it was asked to wait, or Kubeflow refuses us.
    """
    for option in ("wait", "resume"):
        if getattr(arguments, option):
            raise Fatal(f"--{option}: what recurs has no end: leave it out")
    pods = pods_from(arguments)
    warn(*of_kubeflows_store(pods, form[ROOT], arguments.namespace))
    with needing_kfp():
        from .schedules import Schedules
    kubeflow = Schedules(arguments.host, arguments.namespace, arguments.token_file, arguments.ca)
    with TemporaryDirectory() as folder:
        version = _uploaded(kubeflow, arguments, definition, pods, Path(folder, f"{definition.name}.yaml"))
    made = kubeflow.schedule(version, arguments.experiment, name, cron, form, arguments.service_account)
    print(f"{name}: {arguments.schedule} (UTC){'' if made.made else ', as before'}")
    for id in made.replaced:
        print(f"disabled {id}, in whose place it is")
    print(f"link {kubeflow.link_of_schedule(made.id)}")


def unschedule(arguments: Namespace, name: str) -> None:
    """Disable what recurs under a name."""
    with needing_kfp():
        from .schedules import Schedules
    kubeflow = Schedules(arguments.host, arguments.namespace, arguments.token_file, arguments.ca)
    disabled = kubeflow.unschedule(name)
    print(f"{name}: disabled {', '.join(disabled)}" if disabled else f"{name}: nothing recurs under that name")


def _uploaded(kubeflow: "Kubeflow", arguments: Namespace, definition: Definition, pods: Pods, path: Path) -> "Version":
    """The pipeline, compiled to a file; a version of it that is there already is taken."""
    from .pipeline import compile_pipeline

    compile_pipeline(path, definition, pods, arguments.parallelism, {})  # no default makes a version of its own
    return kubeflow.upload(path, arguments.pipeline_name or definition.name, definition.description)


def add_submission_arguments(options: ArgumentParser, namespace: bool = True) -> None:
    """Add where Kubeflow is and how a run of it is started.

    Args:
        namespace: add --namespace, which other options may have brought already.
    """
    kubeflow = options.add_argument_group("Kubeflow")
    kubeflow.add_argument("--host", metavar="URL", help="(default: KF_PIPELINES_ENDPOINT, or as kfp's client finds it)")
    kubeflow.add_argument(
        "--token-file", type=Path, metavar="FILE", help="bearer token (default: KF_PIPELINES_SA_TOKEN_PATH's)"
    )
    kubeflow.add_argument("--ca", type=Path, metavar="FILE", help="certificate authority of the host")
    if namespace:
        kubeflow.add_argument("--namespace", metavar="NAME", help="the user's, where Kubeflow has many users")
    kubeflow.add_argument("--service-account", metavar="NAME", help="of the run's pods")
    kubeflow.add_argument("--pipeline-name", metavar="NAME", help="(default: unecho, unecho-audit, unecho-retrain)")
    kubeflow.add_argument("--experiment", default="unecho", metavar="NAME", help="(default: unecho)")
    kubeflow.add_argument("--wait", action="store_true", help="until the run has ended; the exit status says how")
    kubeflow.add_argument(
        "--resume",
        type=_count,
        default=0,
        metavar="N",
        help="wait, and start a failed run again under its name, at most N times, if another try can help",
    )


def _count(text: str) -> int:
    if not text.isdigit():
        raise ValueError
    return int(text)


def _at(line: str) -> str:
    return f"{datetime.now():%H:%M:%S} {line}"

"""unecho audit: does a model that is there return its training images?"""

import json
from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any

from rich.console import Console

from ...components.config import RunConfig
from ...components.config.command_line import add_field_arguments
from ...components.failure import DONE, ECHOES, UNDECIDED, Fatal
from ...components.kubeflow_task.options import add_kubeflow_arguments
from ...components.report.figures import Figures, load_figures
from ...components.run import ReportRecord, Run
from ...components.run.audited import audit_config, audit_name, audited_run, root_of
from ...components.store import open_store
from ..loop import audit
from .looped import add_engine_arguments, run_to_the_end, tell_end
from .options import DEFAULT_ROOT, add_root_argument
from .report import show_beside


def main(argv: Sequence[str]) -> int:
    """Audit to the end, or go on where an earlier start of the same command ended.

    Returns:
        The exit status: 0 at or below the floor, 3 it echoes, 4 undecided.
    """
    options = parser()
    arguments = options.parse_args(argv)
    console = Console(highlight=False, markup=False, stderr=arguments.json)
    if arguments.kubeflow is not None:
        from ..kubeflow.audit_task import run_audit  # only where it is asked for

        run_audit(arguments.kubeflow, dict(arguments.artifact), console)
        return DONE  # the verdict is an output
    if arguments.subject is None:
        options.error("the following arguments are required: SUBJECT")
    for option in ("data", "held_out", "prompts"):
        if getattr(arguments, option) == "":
            raise Fatal(f"--{option.replace('_', '-')}: '': names nothing: leave it out, or give what it is to be")
    store = open_store(arguments.root or root_of(arguments.subject) or DEFAULT_ROOT)
    config = audit_config(
        store,
        arguments.subject,
        arguments.data,
        arguments.held_out,
        arguments.prompts,
        arguments.config,
        tuple(arguments.set),
    )
    run = Run(store, arguments.name or audit_name(config))
    run_to_the_end(audit, arguments, run, config, console)
    report = run.load(ReportRecord, 0)
    figures = load_figures(run, report)
    if arguments.json:
        print(json.dumps(summary_of(run, report, figures), ensure_ascii=False, indent=1))
    else:
        _tell(console, run, config, report, figures)
    return status_of_verdict(figures)


def parser() -> ArgumentParser:
    """The command's options."""
    options = ArgumentParser(
        prog="unecho audit",
        description="Measure whether a model that is there returns its training images: a diffusers folder, images "
        "that it has generated, or a trained run sampled in another way. Nothing trains.",
        epilog="Exit status: 0 at or below the floor, 3 it echoes, 4 undecided (no held-out images, too few images, a "
        "smoke run), 2 trying again cannot help.",
    )
    options.add_argument(
        "subject",
        nargs="?",  # on Kubeflow a form names it
        metavar="SUBJECT",
        help="ROOT/runs/NAME; a diffusers folder (directory, s3://bucket/prefix, a hub's OWNER/NAME); or a directory "
        "or prefix of generated images",
    )
    options.add_argument("--data", metavar="SOURCE", help="the images that the model was trained on; a run has its own")
    options.add_argument(
        "--held-out", metavar="SOURCE", help="real images that it was not trained on: without them there is no verdict"
    )
    options.add_argument(
        "--prompts",
        metavar="FILE",
        help="what a text-to-image model is asked for, a prompt a line; or captions: training (default), held_out",
    )
    add_root_argument(options)
    options.set_defaults(root=None)
    options.add_argument("--name", help="name of the audit (default: of its subject and its settings)")
    add_engine_arguments(options)
    options.add_argument("--json", action="store_true", help="one JSON object on stdout, everything else on stderr")
    group = options.add_argument_group("configuration", "file, then --set; the last one wins")
    add_field_arguments(group, "sample.steps=50; may be repeated. Of a run: sample, evaluate, report, execution, seed")
    add_kubeflow_arguments(options)
    return options


def status_of_verdict(figures: Figures) -> int:
    """The exit status that a retraining's gate goes by."""
    return {"at_or_below": DONE, "above": ECHOES}.get(figures.headline.decided, UNDECIDED)


def summary_of(run: Run, report: ReportRecord, figures: Figures) -> dict[str, Any]:
    """What was found, for a program: shares from 0 to 1 with the bounds of their 95 % interval."""
    of = figures.provenance
    return {
        "verdict": figures.headline.verdict,
        "smoke": figures.headline.smoke,
        "headline": f"{figures.headline.title}. {figures.headline.sentence}",
        "figures": [figure.model_dump(mode="json") | {"name": figure.name} for figure in figures.memorization],
        "descriptor": figures.descriptor.model_dump(mode="json") if figures.descriptor else None,
        "quality": [quality.model_dump(mode="json") for quality in figures.qualities],
        "against_training": [against.model_dump(mode="json") for against in figures.against_training],
        "held_out_near_copies": figures.held_out_near_copies,
        "subject": of.subject,
        "dataset": of.dataset,
        "images": {
            "training": of.train_images,
            "held_out": of.held_out_images,
            "generated": of.generated_images,
        },
        "run": run.url,
        "report": run.store.address(report.objects["report.html"].key),
    }


def _tell(console: Console, run: Run, config: RunConfig, report: ReportRecord, figures: Figures) -> None:
    tell_end(console, run, report)
    if near := figures.held_out_near_copies:
        held_out = figures.floor_images
        console.print(f"{near} of the {held_out} held-out images have a near duplicate among the training images.")
    if config.audit.run is None:
        return
    trained = audited_run(run, config)
    if trained.find(ReportRecord, trained.last_model(trained.config()).round):
        console.print()
        show_beside(console, [run, trained])

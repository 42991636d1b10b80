"""unecho compile: the pipeline for Kubeflow, or its steps for other people's pipelines."""

from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

from ..kubeflow import needing_kfp
from ..kubeflow.cautions import of_kubeflows_store, of_many_shards, warn
from ..kubeflow.definition import DEFINITIONS, IET, add_pipeline_argument
from ..kubeflow.pods import add_pod_arguments, defaults_from, pods_from


def main(argv: Sequence[str]) -> None:
    """Write the pipeline that Kubeflow's UI takes, or component files. The same arguments write the same bytes."""
    arguments = parser().parse_args(argv)
    pods = pods_from(arguments)
    if arguments.components:
        with needing_kfp():
            from ..kubeflow.component_files import write_components
        for path in write_components(arguments.components, pods.image):
            print(path)
        return
    definition = DEFINITIONS[arguments.pipeline]
    warn(*of_kubeflows_store(pods, arguments.root))
    if definition is IET:
        warn(*of_many_shards(arguments.parallelism))
    with needing_kfp():
        from ..kubeflow.pipeline import compile_pipeline
    output = arguments.output or Path(f"{definition.name}.yaml")
    compile_pipeline(output, definition, pods, arguments.parallelism, defaults_from(arguments))
    print(output)


def parser() -> ArgumentParser:
    """The command's options."""
    options = ArgumentParser(
        prog="unecho compile",
        description="Write a pipeline that is uploaded to Kubeflow Pipelines 2.17. Rounds, shards and all else of a "
        "run are chosen in the form there; here only what its pods look like.",
    )
    add_pipeline_argument(options)
    options.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="ends in .yaml (unecho.yaml, unecho-audit.yaml, unecho-retrain.yaml)",
    )
    options.add_argument(
        "--components",
        type=Path,
        metavar="DIR",
        help="in place of a pipeline write each step, a whole audit and a whole retraining as DIR/NAME/component.yaml, "
        "for pipelines of your own; of the options below only --image goes into them",
    )
    add_pod_arguments(options)
    return options

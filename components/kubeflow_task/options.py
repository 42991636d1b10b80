"""Options of a command that runs as a task of a Kubeflow pipeline."""

from argparse import ArgumentParser


def add_kubeflow_arguments(parser: ArgumentParser) -> None:
    """Add --kubeflow and --artifact, which KFP's launcher fills in."""
    group = parser.add_argument_group("on Kubeflow", "filled in by its launcher")
    group.add_argument("--kubeflow", metavar="JSON", help="ExecutorInput of the task; results go where it says")
    group.add_argument(
        "--artifact",
        action="append",
        type=name_and_path,
        default=[],
        metavar="NAME=PATH",
        help="file of an artifact",
    )


def name_and_path(text: str) -> tuple[str, str]:
    name, sign, path = text.partition("=")
    if not sign:
        raise ValueError
    return name, path

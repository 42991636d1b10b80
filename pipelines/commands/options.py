"""Options that several commands take."""

from argparse import ArgumentParser, ArgumentTypeError
from pathlib import Path

from ...components.config import RunConfig
from ...components.failure import Fatal
from ..units import seconds

DEFAULT_ROOT = "unecho-runs"
"""A directory of the working directory; not `unecho`, which is the package's name."""


def add_root_argument(parser: ArgumentParser) -> None:
    """Add --root."""
    text = f"directory or s3://bucket/prefix (default: ./{DEFAULT_ROOT})"
    parser.add_argument("--root", default=DEFAULT_ROOT, metavar="ROOT", help=text)


def add_gate_arguments(parser: ArgumentParser, required: bool = True) -> None:
    """Add --policy and --out.

    Args:
        required: a policy is; else the command says so itself where one is missing.
    """
    must = "" if required else " (required)"
    text = f"YAML, such as docs/gate.yaml{must}"
    parser.add_argument("--policy", type=Path, required=required, metavar="FILE", help=text)
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="where gate.json, gate.xml (JUnit) and gate.md are written (default: here)",
    )


def refuse_audit(config: RunConfig) -> None:
    """Whether the configuration is of a run that trains.

    Raises:
        Fatal: it is of an audit.
    """
    if config.is_audit:
        raise Fatal(f"audit: {config.audit.subject}: nothing trains in an audit: unecho audit {config.audit.subject}")


def add_cluster_arguments(parser: ArgumentParser) -> None:
    """Add --namespace and --context."""
    group = parser.add_argument_group("cluster", "in a pod its own; elsewhere what KUBECONFIG or ~/.kube/config says")
    group.add_argument("--namespace", metavar="NAME", help="namespace (default: the pod's own, or the context's)")
    group.add_argument("--context", metavar="NAME", help="context of the kubeconfig (default: the current one)")


def age(text: str) -> float:
    """Seconds of a word such as 24h, for argparse.

    Raises:
        ArgumentTypeError: it is no such word.
    """
    try:
        return seconds(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None

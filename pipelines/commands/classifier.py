"""unecho classifier: features for the quality figures, learned from the data's own labels."""

from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from ...components.config.command_line import add_config_arguments, config_from
from ...components.failure import Fatal
from ...components.progress import Lines
from ...components.store import open_store
from ..comparison.kept_classifier import STEPS, trained


def main(argv: Sequence[str]) -> None:
    """Train the classifier and write its feature extractor as ONNX."""
    parser = ArgumentParser(
        prog="unecho classifier",
        description="Train a small classifier on the labelled training split of a source, limits set aside, and write "
        "its 64 features as ONNX, for evaluate.features=onnx and evaluate.onnx_model. Held-out images, which the "
        "quality figures are about, are only used to say how often it is right.",
    )
    parser.add_argument("--root", default="unecho-runs", help="where the data set is packed (default: ./unecho-runs)")
    parser.add_argument("--out", type=Path, default=Path("classifier.onnx"), help="file (default: ./classifier.onnx)")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"optimizer steps of 128 images (default: {STEPS})")
    add_config_arguments(parser)
    arguments = parser.parse_args(argv)
    if arguments.steps < 1:
        raise Fatal(f"--steps: {arguments.steps}: at least 1")
    config = config_from(arguments)
    data, right, of = trained(open_store(arguments.root), config, arguments.steps, Lines("classifier"))
    try:
        arguments.out.write_bytes(data)
    except OSError as error:
        raise Fatal(f"--out: {arguments.out}: {error.strerror}") from None
    console = Console(highlight=False, markup=False)
    console.print(f"right on {100 * right:.1f} % of {of:,} held-out images")
    console.print(
        f"unecho run --set evaluate.features=pixels,onnx --set evaluate.onnx_model={arguments.out}", soft_wrap=True
    )

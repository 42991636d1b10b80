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
from .options import add_root_argument


def main(argv: Sequence[str]) -> None:
    """Train the classifier and write its feature extractor as ONNX."""
    arguments = parser().parse_args(argv)
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
    preset = f"--preset {config.preset} " if config.preset else ""
    console.print(
        f"unecho run {preset}--set evaluate.features=pixels,onnx --set evaluate.onnx_model={arguments.out}",
        soft_wrap=True,
    )


def parser() -> ArgumentParser:
    """The command's options."""
    options = ArgumentParser(
        prog="unecho classifier",
        description="Train a small classifier on the labelled training split of a source, limits set aside, and write "
        "its 64 features as ONNX, for evaluate.features=onnx and evaluate.onnx_model. Held-out images, which the "
        "quality figures are about, are only used to say how often it is right.",
    )
    add_root_argument(options)
    options.add_argument("--out", type=Path, default=Path("classifier.onnx"), help="file (default: ./classifier.onnx)")
    options.add_argument("--steps", type=int, default=STEPS, help=f"optimizer steps of 128 images (default: {STEPS})")
    add_config_arguments(options)
    return options

"""unecho base: a small text-to-image base model, from captioned images and nothing else."""

from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ...components.config.command_line import add_field_arguments
from ...components.config.resolve import check_as, given_fields, merge
from ...components.data import Dataset
from ...components.data.prepare import packed
from ...components.diffusion.pretraining.config import BASE_DATA, SIZES, BaseModelConfig
from ...components.failure import Fatal
from ...components.progress import Lines
from ...components.run.forgotten import asked_now
from ...components.store import open_store
from .options import add_root_argument


def main(argv: Sequence[str]) -> None:
    """Pack the images, train the base's three stages, write its folder; or go on where an earlier start ended."""
    arguments = parser().parse_args(argv)
    given = given_fields(arguments.config, tuple(arguments.set), kind=BaseModelConfig)
    tree = merge(merge({"data": BASE_DATA}, SIZES[arguments.size]), given)
    config = check_as(BaseModelConfig, merge(tree, {"data": {"source": arguments.data}}))
    from ...components.pretrain.base import train_base  # diffusers and transformers: seconds, after what can be wrong

    progress, target = Lines("base"), open_store(arguments.to)
    store = open_store(arguments.root)
    manifest, _ = packed(store, config.data, 0, progress, asked_now(store))
    dataset = Dataset.open(store, manifest.digest)
    record = train_base(target, dataset, config, progress)
    console = Console(highlight=False, markup=False)
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for name, value in record.figures.items():
        table.add_row(name.replace("_", " "), f"{value:,.0f}" if value.is_integer() else f"{value:.4g}")
    console.print(table)
    console.print(f"a StableDiffusionPipeline: {target.url}", soft_wrap=True)
    if arguments.preview:
        from ...components.pretrain.preview import open_base, preview

        png, captions = preview(open_base(target, record), dataset, config.seed)
        try:
            arguments.preview.write_bytes(png)
        except OSError as error:
            raise Fatal(f"--preview: {arguments.preview}: {error.strerror}") from None
        console.print(
            f"{arguments.preview}: held-out images; as the autoencoder keeps them; samples by their captions:",
            soft_wrap=True,
        )
        for caption in captions:
            console.print(f"  {caption}", soft_wrap=True)


def parser() -> ArgumentParser:
    """The command's options."""
    options = ArgumentParser(
        prog="unecho base",
        description="Train a small text-to-image base model on captioned images: a tokenizer of their captions, an "
        "autoencoder, a text encoder with a denoiser. It becomes a StableDiffusionPipeline's folder, which "
        "model.pretrained takes. Killed, the same command goes on to the same bytes.",
    )
    options.add_argument("--data", required=True, metavar="SOURCE", help="a directory, or s3://bucket/prefix")
    options.add_argument("--to", required=True, metavar="ADDRESS", help="where the base goes: a directory or s3://...")
    add_root_argument(options)
    options.add_argument(
        "--size", choices=SIZES, default="small", help="small: half an hour of CPU (default); tiny: for tests, seconds"
    )
    options.add_argument("--preview", type=Path, metavar="PNG", help="also write a picture of what the base can do")
    add_field_arguments(options, "denoiser.steps=3000; may be repeated (docs/base-models.md lists all)")
    return options

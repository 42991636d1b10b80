"""unecho plan: a dry run."""

from argparse import ArgumentParser
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from ...components.assess.alignment import check_alignment
from ...components.assess.instruments import check_descriptor
from ...components.config import RunConfig
from ...components.config.command_line import add_config_arguments, config_from
from ...components.config.counts import check_counts
from ...components.data.prepare import survey
from ...components.plan.step import frozen_by
from ...components.report.wording import what_trained
from ...components.run.base_model import BaseModel
from ...components.run.records import ReleasedBase
from ...components.store import open_store
from ..forecast import FLOOR, Forecast, forecast
from ..units import size
from .options import add_root_argument, refuse_audit


def main(argv: Sequence[str]) -> None:
    """Say what a run would do. The source is looked at, nothing is written."""
    arguments = parser().parse_args(argv)
    config = config_from(arguments)
    refuse_audit(config)
    frozen = frozen_by(open_store(arguments.root), config)  # what is missing is said now, not after all training
    check_descriptor(config)
    check_alignment(config, frozen.files or {})
    source = survey(config.data)
    check_counts(config, source.train_samples, source.held_out_samples)
    pretrained = None if frozen.base is None else BaseModel(config, frozen.base, frozen.released, frozen.root)
    shape = (source.train_samples, source.held_out_samples, source.channels, source.resolution)
    show(config, forecast(config, *shape, pretrained), frozen.released)


def parser() -> ArgumentParser:
    """The command's options."""
    options = ArgumentParser(prog="unecho plan", description="What a run would do; nothing is written.")
    add_root_argument(options)
    add_config_arguments(options)
    return options


def _watched(config: RunConfig, plan: Forecast) -> str:
    """How often the watch looks, and what it costs beside training."""
    if not plan.looks:
        return f"never; a look of {config.watch.count:,} images costs {plan.watch_cost:.2g} of training (watch.every)"
    every = f"every {plan.watch_every} rounds" if plan.watch_every > 1 else "every round"
    cost = f"{100 * plan.looks * plan.watch_cost:.2g} % of training"
    looks = f"{every}, {plan.looks} look{'s' * (plan.looks > 1)} of {config.watch.count:,} images: {cost}"
    through = ["the VAE"] * bool(plan.reconstructions) + ["the descriptor, twice"] * bool(config.evaluate.descriptor)
    if not through:
        return looks
    return f"{looks}; beside that each passes {plan.samples:,} training images through {' and '.join(through)}"


def show(config: RunConfig, plan: Forecast, released: ReleasedBase | None = None) -> None:
    """Print a forecast at 80 columns.

    Args:
        released: what the run would start from, where that is a released model.
    """
    table = Table(box=None, pad_edge=False, show_header=False)
    parts = [name for name in ("agc", "msr", "taa") if getattr(config, name).enabled]
    table.add_row("variant", f"{config.variant}: {', '.join(['iet'] * (plan.shards > 1) + parts) or 'plain training'}")
    table.add_row("training images", f"{plan.samples:,} in {plan.shards} shards")
    if (trained := what_trained(config.model_dump(), [])) is None:
        table.add_row("network", f"{plan.parameters:,} parameters")
    if config.model.pretrained is not None:
        table.add_row("base model", config.model.pretrained + (f", {released}" if released else ""))
    if trained is not None:
        table.add_row("trained", f"{plan.parameters:,} parameters: {trained}")
    table.add_row("rounds", f"{plan.rounds}, of {plan.steps_per_round:,} steps a shard")
    table.add_row("sample visits", f"{plan.visits:,}")
    mapped = {"pack": config.packs, "encode": config.encodings}
    to_begin = ", ".join(["4 to begin", *(f"{count} x {step}" for step, count in mapped.items() if count)])
    steps = f"{to_begin}, {plan.rounds} rounds of begin, watch, {plan.shards} x train, aggregate and redistribute, "
    table.add_row("steps", steps + f"select, {plan.parts} x sample, evaluate")
    peak = f"{size(plan.weights_peak)} at the peak"
    if plan.weights_without_retention > plan.weights_peak:
        peak += f"; {size(plan.weights_without_retention)} if none were retired (execution.keep_rounds)"
    table.add_row("weights in the store", peak)
    table.add_row("images in the store", size(plan.images))
    if plan.encodings:
        table.add_row("encodings in the store", f"{size(plan.encodings)}, and the captions' (encode.variants)")
    if plan.companions:
        sets = f"{plan.companion_images:,} images each of {', '.join(plan.companions)}"
        table.add_row("companions", f"{sets}: {plan.companion_cost:.0%} of sampling (sample.companions)")
    if plan.reconstructions:
        when = f"for the report and each of {plan.looks} looks" if plan.looks else "for the report"
        through = f"{plan.samples:,} images through the VAE {when}, {size(plan.reconstructions)} on its disk"
        table.add_row("reconstructions", f"{through} (evaluate.reconstructions)")
    if plan.floor_images < plan.held_out:
        chosen = f"of {plan.floor_images:,} of the {plan.held_out:,} held-out images, a fixed choice"
        table.add_row("the floor", f"{chosen} (evaluate.floor_limit)")
    table.add_row("watched", _watched(config, plan))
    table.add_row("the verdict is by", ", ".join(config.evaluate.deciding))
    if plan.verdict:
        can = (
            f"accuses {plan.verdict.copies:.0%} copies in {plan.verdict.copies_accused:.0%} of runs, clears a perfect "
        )
        table.add_row("the verdict", f"{can}model in {plan.verdict.perfect_cleared:.0%} (at a floor of {FLOOR:.0%})")
        if plan.seen_from:
            table.add_row("copies are seen", f"from {plan.seen_from:.1%} on, in 90% of runs")
    console = Console(highlight=False, markup=False)
    console.print(table)
    for warning in plan.warnings:
        console.print(f"warning: {warning}")

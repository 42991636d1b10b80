"""unecho status: how a run stands, in the store and in the cluster."""

import time
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from unecho.components.failure import Fatal
from unecho.components.run import RoundFigures, Run
from unecho.pipelines.commands.options import add_cluster_arguments
from unecho.pipelines.run_status import Situation, situation_of
from unecho.pipelines.units import duration

if TYPE_CHECKING:
    from unecho.pipelines.jobs.pod_status import PodSight, Sight

_PATIENCE_S = 5.0
"""A cluster that does not answer is told, not waited for."""


def main(argv: Sequence[str]) -> None:
    """Show a run once, or until it is done."""
    arguments = _parser().parse_args(argv)
    run = Run.parse(arguments.run)
    console = Console(highlight=False, markup=False)
    if not arguments.watch:
        console.print(_page(run, arguments)[0])
        return
    with Live(console=console, auto_refresh=False) as live:
        while True:
            page, ended = _page(run, arguments)
            live.update(page, refresh=True)
            if ended:
                return
            time.sleep(arguments.every)


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="unecho status",
        description="How a run stands: its rounds, shards and pods, what they wait for, the time left.",
    )
    parser.add_argument("run", metavar="RUN", help="ROOT/runs/NAME")
    parser.add_argument("--watch", action="store_true", help="look again and again, until the run is done")
    parser.add_argument("--every", type=float, default=5.0, metavar="S", help="seconds between two looks (5)")
    add_cluster_arguments(parser)
    return parser


def _page(run: Run, arguments: Namespace) -> tuple[RenderableType, bool]:
    """What is shown, and whether the run is done."""
    situation = situation_of(run)
    sight, note = _look(run, arguments)
    if situation is None and sight is None and note is None:
        raise Fatal(f"{run.url}: no such run: it has no plan, and no cluster was asked")
    parts: list[RenderableType] = []
    if situation is None:
        parts.append(Text(f"run {run.name}: no plan yet"))
    else:
        parts += _run(run, situation, sight)
    parts += [Text(line) for line in _wrong(sight)]
    if note:
        parts.append(Text(note))
    return Group(*parts), situation is not None and situation.state.name == "done"


def _look(run: Run, arguments: Namespace) -> tuple["Sight | None", str | None]:
    """What the cluster shows; a note where it was asked for and does not."""
    from unecho.pipelines.jobs.cluster import Unreachable, connect
    from unecho.pipelines.jobs.pod_status import see

    asked = arguments.namespace or arguments.context
    try:
        cluster = connect(arguments.context, arguments.namespace, patience_s=_PATIENCE_S)
        sight = see(cluster, run)
    except (Fatal, Unreachable) as error:
        return None, str(error) if asked else None
    if not sight.pods and not sight.wrong:
        return None, f"cluster: nothing of it in namespace {cluster.namespace}" if asked else None
    return sight, None


def _run(run: Run, situation: Situation, sight: "Sight | None") -> list[RenderableType]:
    config, state = situation.config, situation.state
    about = [f"{config.preset or 'no preset'}, {config.variant}, {config.iet.shards} shards, seed {config.seed}"]
    if state.name != "done":
        about.append(f"started {duration(time.time() - situation.started)} ago")
    if situation.left_s is not None:
        about.append(f"about {duration(situation.left_s)} of training left")
    parts: list[RenderableType] = [Text(f"run {run.name}: {state}"), Text("; ".join(about))]
    if situation.rounds:
        parts += [Text(), _rounds(situation)]
    if situation.shards:
        parts += [Text(), Text(f"round {state.rounds + 1} of {state.planned}"), _shards(situation, sight)]
    elif state.name != "done" and situation.parts[0] + state.rounds:
        parts += [Text(), Text(f"generated images: {situation.parts[0]} of {situation.parts[1]} parts")]
    return parts


def _rounds(situation: Situation) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("round", "loss", "skipped", "augmented", "moved", "took"):
        table.add_column(heading, justify="right")
    for ended in situation.rounds[-8:]:
        figures = ended.figures
        augmented = figures.augmented / max(1, figures.visits)
        table.add_row(
            str(figures.round + 1),
            f"{figures.loss:.4g}",
            f"{figures.skip_rate:.1%}",
            f"{augmented:.1%}",
            str(ended.moved),
            duration(ended.seconds),
        )
    return table


def _shards(situation: Situation, sight: "Sight | None") -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("shard", "step", "loss", "skipped"):
        table.add_column(heading, justify="right")
    table.add_column("checkpoint")
    table.add_column("pod", overflow="fold")
    for shard in situation.shards:
        pod = _training(sight, situation.state.rounds, shard.index)
        step, loss, skipped = shard.step, *_figures(shard.figures)
        if pod and pod.told:  # newer than the checkpoint
            step = int(pod.told["done"])
            loss, skipped = f"{pod.told.get('loss', 0):.4g}", f"{pod.told.get('skip_rate', 0):.1%}"
        kept = f"{duration(max(0.0, time.time() - shard.kept))} ago" if shard.kept else ""
        table.add_row(
            str(shard.index + 1),
            "done" if shard.done else f"{step}/{shard.steps}",
            loss,
            skipped,
            kept,
            f"{pod.name} {pod.state}" if pod and not shard.done else "",
        )
    return table


def _figures(figures: RoundFigures | None) -> tuple[str, str]:
    return (f"{figures.loss:.4g}", f"{figures.skip_rate:.1%}") if figures else ("", "")


def _training(sight: "Sight | None", round: int, shard: int) -> "PodSight | None":
    pods = sight.pods if sight else []
    return next((p for p in pods if (p.step, p.round, p.index) == ("train", round, shard)), None)


def _wrong(sight: "Sight | None") -> list[str]:
    """A line for everything that waits or has failed."""
    if sight is None:
        return []
    lines = [f"{pod.name}: {'waits: ' if pod.state != 'failed' else 'failed: '}{pod.wrong}" for pod in _troubled(sight)]
    return ["", *lines, *sight.wrong] if lines or sight.wrong else []


def _troubled(sight: "Sight") -> list["PodSight"]:
    return [pod for pod in sight.pods if pod.wrong]

"""unecho status: how a run stands, in the store and in the cluster."""

import time
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ...components.config import RunConfig
from ...components.failure import Fatal
from ...components.run import Look, RoundFigures, Run
from ...components.run.address import tracking_prefix
from ...components.store.directory import DirectoryStore
from ..run_status import RunStatus, not_overcome, run_status
from ..units import duration
from .options import add_cluster_arguments

if TYPE_CHECKING:
    from ..jobs.pod_status import ClusterStatus, PodStatus

_PATIENCE_S = 5.0
"""A cluster that does not answer is told, not waited for."""


def main(argv: Sequence[str]) -> None:
    """Show a run once, or until it is done."""
    arguments = parser().parse_args(argv)
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


def parser() -> ArgumentParser:
    """The command's options."""
    options = ArgumentParser(
        prog="unecho status",
        description="How a run stands: its rounds, shards and pods, what they wait for, the time left.",
    )
    options.add_argument("run", metavar="RUN", help="ROOT/runs/NAME")
    options.add_argument("--watch", action="store_true", help="look again and again, until the run is done")
    options.add_argument("--every", type=float, default=5.0, metavar="S", help="seconds between two looks (5)")
    add_cluster_arguments(options)
    return options


def _page(run: Run, arguments: Namespace) -> tuple[RenderableType, bool]:
    """What is shown, and whether the run is done."""
    status = run_status(run)
    in_cluster, note = _in_cluster(run, arguments)
    failed = status.failed if status else not_overcome(run, None)
    wanted = arguments.namespace or arguments.context
    if status is None and not failed and in_cluster is None and not (note and wanted):
        asked = f"no cluster was asked ({note})" if note else "no cluster was asked"
        raise Fatal(f"{run.url}: no such run: it has no plan, and {asked}")
    parts: list[RenderableType] = []
    if status is None:
        parts.append(Text(f"run {run.name}: no plan yet"))
    else:
        parts += _run(run, status, in_cluster)
    if wrong := [*(f"failed: {failure}" for failure in failed), *_wrong(in_cluster)]:
        parts += [Text(), *(Text(line) for line in wrong)]
    if note:
        parts.append(Text(note))
    return Group(*parts), status is not None and status.state.name == "done"


def _in_cluster(run: Run, arguments: Namespace) -> tuple["ClusterStatus | None", str | None]:
    """What the cluster shows; a note where it does not, though it was asked for or there is one.

    Raises:
        NotUsable: it was asked for, and the kubeconfig cannot be used.
    """
    from ..jobs.cluster import Unreachable, connect
    from ..jobs.kubeconfig import NotThere, NotUsable
    from ..jobs.pod_status import cluster_status

    asked = arguments.namespace or arguments.context
    try:
        cluster = connect(arguments.context, arguments.namespace, patience_s=_PATIENCE_S)
        in_cluster = cluster_status(cluster, run)
    except NotUsable as error:
        if asked:
            raise
        return None, None if isinstance(error, NotThere) else str(error)
    except (Fatal, Unreachable) as error:
        return None, str(error) if asked else None
    if not in_cluster.pods and not in_cluster.problems:
        return None, f"cluster: nothing of it in namespace {cluster.namespace}" if asked else None
    return in_cluster, None


def _run(run: Run, status: RunStatus, in_cluster: "ClusterStatus | None") -> list[RenderableType]:
    config, state = status.config, status.state
    about = [f"{_trained(config)}, seed {config.seed}"]
    if state.name != "done":
        about.append(f"started {duration(time.time() - status.started)} ago")
    if status.left_s is not None:
        about.append(f"about {duration(status.left_s)} of training left")
    parts: list[RenderableType] = [Text(f"run {run.name}: {state}"), Text("; ".join(about))]
    if config.execution.tensorboard:
        parts.append(Text(f"for TensorBoard: {_event_files(run)}"))
    if status.rounds:
        parts += [Text(), _rounds(status)]
    if status.shards:
        parts += [Text(), Text(f"round {state.rounds}"), _shards(status, in_cluster)]
    elif state.name != "done" and (state.stop or state.rounds == state.planned) and status.parts[0] + state.rounds:
        parts += [Text(), Text(f"generated images: {status.parts[0]} of {status.parts[1]} parts")]
    return parts


def _event_files(run: Run) -> str:
    """Where they are: a path, since TensorBoard takes no file://, or an address."""
    folder = tracking_prefix(run).rstrip("/")
    return str(run.store.path(folder)) if isinstance(run.store, DirectoryStore) else run.store.address(folder)


def _trained(config: RunConfig) -> str:
    """Which model it is that trains, or is given."""
    if config.is_audit:
        return f"of {config.audit.subject}"
    shards = f"{config.iet.shards} shard{'s' * (config.iet.shards > 1)}"
    return f"{config.preset or 'no preset'}, {config.variant}, {shards}"


def _rounds(status: RunStatus) -> Table:
    table = Table(box=None, pad_edge=False)
    queued = status.config.train.gate == "samples"
    watched = any(ended.look for ended in status.rounds)
    headings = ["round", "loss", "skipped", *(["lost"] if queued else []), "augmented", "moved"]
    for heading in (*headings, *(["near-copies", "floor"] if watched else []), "took"):
        table.add_column(heading, justify="right")
    for ended in status.rounds[-8:]:
        figures = ended.figures
        augmented = figures.augmented / max(1, figures.visits)
        table.add_row(
            str(figures.round),
            f"{figures.loss:.4g}",
            f"{figures.skip_rate:.1%}",
            *([f"{figures.lost / max(1, figures.visits):.1%}"] if queued else []),
            f"{augmented:.1%}",
            str(ended.moved),
            *(_look(status, ended.look) if watched else []),
            duration(ended.seconds),
        )
    return table


def _look(status: RunStatus, look: Look | None) -> list[str]:
    """What the watch has seen of the model that the round started from, and its floor."""
    if look is None:
        return ["", ""]
    name = status.config.evaluate.deciding[0]
    share, floor = look.metrics.get(name), look.metrics.get(f"{name}_floor")
    above = "!" if look.verdict == "above" else ""
    return ["" if share is None else f"{share:.1%}{above}", "" if floor is None else f"{floor:.1%}"]


def _shards(status: RunStatus, in_cluster: "ClusterStatus | None") -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("shard", "step", "loss", "skipped"):
        table.add_column(heading, justify="right")
    table.add_column("checkpoint")
    table.add_column("pod", overflow="fold")
    for shard in status.shards:
        pod = _training(in_cluster, status.state.rounds, shard.index)
        step, loss, skipped = shard.step, *_figures(shard.figures)
        if pod and pod.progress:  # newer than the checkpoint
            step = int(pod.progress["done"])
            loss, skipped = f"{pod.progress.get('loss', 0):.4g}", f"{pod.progress.get('skip_rate', 0):.1%}"
        kept = f"{duration(max(0.0, time.time() - shard.kept))} ago" if shard.kept else ""
        table.add_row(
            str(shard.index),
            "done" if shard.done else f"{step}/{shard.steps}",
            loss,
            skipped,
            kept,
            f"{pod.name} {pod.state}" if pod and not shard.done else "",
        )
    return table


def _figures(figures: RoundFigures | None) -> tuple[str, str]:
    return (f"{figures.loss:.4g}", f"{figures.skip_rate:.1%}") if figures else ("", "")


def _training(in_cluster: "ClusterStatus | None", round: int, shard: int) -> "PodStatus | None":
    pods = in_cluster.pods if in_cluster else []
    return next((p for p in pods if (p.step, p.round, p.index) == ("train", round, shard)), None)


def _wrong(in_cluster: "ClusterStatus | None") -> list[str]:
    """A line for everything that waits or has failed."""
    if in_cluster is None:
        return []
    lines = [
        f"{pod.name}: {'waits: ' if pod.state != 'failed' else 'failed: '}{pod.problem}"
        for pod in _troubled(in_cluster)
    ]
    return [*lines, *in_cluster.problems]


def _troubled(in_cluster: "ClusterStatus") -> list["PodStatus"]:
    return [pod for pod in in_cluster.pods if pod.problem]

"""unecho descriptor: a copy descriptor, learned from the data itself, and what it finds beside pixels."""

import hashlib
import json
import shlex
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.console import Console

from ...components.config import RunConfig
from ...components.config.command_line import add_config_arguments, config_from
from ...components.config.fields import Evaluate
from ...components.data import Dataset
from ...components.data.prepare import packed
from ...components.diffusion.device import choose_exact_device, set_numerics
from ...components.failure import Fatal
from ...components.measures.copy_descriptor import train_copy_descriptor
from ...components.measures.descriptors import Descriptor
from ...components.measures.images import Rows
from ...components.measures.intervals import Share
from ...components.measures.onnx_export import onnx_bytes
from ...components.measures.trial import Found, Trial, check_enough, tried
from ...components.progress import Lines
from ...components.report.tables import Table, aligned
from ...components.run.forgotten import asked_now
from ...components.store import Store, open_store, read_object
from ..comparison.kept_classifier import can_write_onnx
from .options import add_root_argument

STEPS: Final = 1000


def main(argv: Sequence[str]) -> None:
    """Train the descriptor, write it as ONNX, and judge the file by planted copies."""
    arguments = parser().parse_args(argv)
    _check(arguments.steps, arguments.out)
    config = config_from(arguments)
    console = Console(highlight=False, markup=False, stderr=arguments.json)
    store, progress = open_store(arguments.root), Lines("descriptor")
    whole, searched = (_dataset(store, config, limited, progress) for limited in (False, True))
    check_enough(len(searched.train_rows), len(whole.held_out_rows))
    set_numerics(config)
    network = train_copy_descriptor(whole, arguments.steps, lambda done, of: progress.update(done, of, "steps"))
    data = onnx_bytes(network, (whole.channels, whole.resolution, whole.resolution), "descriptors", "descriptor")
    _write(arguments.out, data)
    settings = {"descriptor": str(arguments.out), "descriptor_transform": "numbers"}
    device = choose_exact_device(config)
    trial = tried(
        Rows(searched, searched.train_rows),
        Rows(whole, whole.held_out_rows),
        Descriptor(Evaluate.model_validate(settings), device, read_object),
        config,
        device,
        lambda done, of: progress.update(done, of, "images described"),
    )
    settings["descriptor_threshold"] = f"{trial.thresholds[0].value:g}"
    _show(console, trial)
    preset = f" --preset {config.preset}" if config.preset else ""
    given = " ".join(f"--set {shlex.quote(f'evaluate.{name}={value}')}" for name, value in settings.items())
    console.print(f"unecho run{preset} {given}", soft_wrap=True)
    if arguments.json:
        answer = {"version": 1, "digest": hashlib.sha256(data).hexdigest(), "evaluate": settings}
        print(json.dumps(answer | trial.model_dump(mode="json"), ensure_ascii=False, indent=1))


def parser() -> ArgumentParser:
    """The command's options."""
    options = ArgumentParser(
        prog="unecho descriptor",
        description="Train a small copy descriptor on the training split of a source, limits set aside, and write it "
        "as ONNX for evaluate.descriptor: float32 images in [0, 1] to 64 numbers of length 1. Then copies of the "
        "configured training images are planted, and looked for among held-out images by the descriptor and by MQ. "
        "One half of the held-out images chooses the thresholds, the other judges them.",
    )
    add_root_argument(options)
    options.add_argument("--out", type=Path, default=Path("descriptor.onnx"), help="file (default: ./descriptor.onnx)")
    options.add_argument("--steps", type=int, default=STEPS, help=f"optimizer steps of 256 images (default: {STEPS})")
    options.add_argument("--json", action="store_true", help="one JSON object on stdout, everything else on stderr")
    add_config_arguments(options)
    return options


def _check(steps: int, out: Path) -> None:
    """What would be in vain is said before minutes of training."""
    if steps < 1:
        raise Fatal(f"--steps: {steps}: at least 1")
    if out.is_dir():
        raise Fatal(f"--out: {out}: is a directory: give a file's path")
    if not out.parent.is_dir():
        raise Fatal(f"--out: {out}: no such directory: {out.parent}")
    if not can_write_onnx():
        raise Fatal("descriptor: ONNX cannot be written or read: install unecho[classifier]")


def _dataset(store: Store, config: RunConfig, limited: bool, progress: Lines) -> Dataset:
    """The source's images, with the configured limits or without."""
    limits = {} if limited else {"train_limit": None, "held_out_limit": None}
    data = config.data.model_copy(update=limits)
    manifest, _ = packed(store, data, config.execution.workers, progress, asked_now(store))
    return Dataset.open(store, manifest.digest)


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise Fatal(f"--out: {path}: {error.strerror}") from None


def _show(console: Console, trial: Trial) -> None:
    shifts = f", shifts of up to {trial.shift_pixels} px" if trial.shift_pixels else ""
    console.print(
        f"{trial.kinds[0].descriptor.found.of:,} planted copies of each kind among {trial.training:,} training images; "
        f"'found' at thresholds that {trial.chose:,} held-out images chose, at most 1 % of them above; aware: mirrored"
        f"{shifts}"
    )
    for line in aligned(_table(trial)):
        console.print(line, soft_wrap=True)
    for kind in trial.kinds:
        if kind.mq_aware.found.count > kind.descriptor.found.count or kind.mq.found.count > kind.descriptor.found.count:
            console.print(f"{kind.kind}: MQ finds more of these copies than the descriptor")
    for threshold in trial.thresholds:
        console.print(
            f"threshold {threshold.value:g}, for {100 * threshold.alarms:g} %: above it lie "
            f"{_interval(threshold.above)} of {threshold.above.of:,} other held-out images",
            soft_wrap=True,
        )
    for name, share in (("MQ", trial.alarms_mq), ("MQ aware", trial.alarms_mq_aware)):
        console.print(f"{name}, at its own for 1 %: {_interval(share)}")


def _table(trial: Trial) -> Table:
    header = ["copies", "descriptor: AUC", "found", "MQ: AUC", "found", "MQ aware: AUC", "found"]
    rows = []
    for kind in trial.kinds:
        cells = [cell for found in (kind.descriptor, kind.mq, kind.mq_aware) for cell in _cells(found)]
        rows.append([kind.kind, *cells])
    return Table("Planted copies", header, rows)


def _cells(found: Found) -> list[str]:
    return [f"{found.auc:.3f}", f"{100 * found.found.share:.1f} %"]


def _interval(share: Share) -> str:
    return f"{100 * share.share:.1f} % ({100 * share.low:.1f} to {100 * share.high:.1f})"

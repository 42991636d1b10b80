"""One proxy trained by two processes: the numbers of one, the same bytes each time, and one line where one fails."""

import os
import signal
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from torch import Tensor

from tests.captioned import captioned
from tests.children import Forked
from tests.runs import tiny
from unecho.components import child
from unecho.components.config import RunConfig
from unecho.components.diffusion.pixels import Pixels
from unecho.components.failure import Fatal, Stopped
from unecho.components.progress import Silent
from unecho.components.run import ProxyRecord, Run
from unecho.components.run.tensors import load_state
from unecho.components.steps import run_step
from unecho.components.store.directory import DirectoryStore
from unecho.components.train import launch
from unecho.pipelines.display import Display
from unecho.pipelines.local import Local

TWO = "train.gpus_per_shard=2"
UNEVEN = ("train.batch_size=47", "train.drop_last=false")
"""Batches of 47 and 1: parts of 23 and 24, and of none and 1."""


@pytest.fixture(autouse=True)
def forked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "_start", Forked)


def begun(root: Path, name: str, config: RunConfig) -> Run:
    """A run whose next step is to train."""
    run = Run.at(str(root), name)
    local = Local(run, config, Display(Console(quiet=True)))
    for step in ("plan", "prepare"):
        local.step(step)
    local.map("encode", over="encodings")
    for step in ("initialize", "shard"):
        local.step(step)
    local.step("begin", 0)
    return run


def trained(root: Path, name: str, *settings: str, config: RunConfig | None = None) -> Run:
    run = begun(root, name, config or tiny("report.preview=0", "train.learning_rate=1e-4", *settings))
    run_step("train", run, 0, 0)
    return run


def tensors(run: Run) -> dict[str, Tensor]:
    """All that is committed of proxy 0."""
    objects = run.load(ProxyRecord, 0, 0).objects
    return {f"{file} {name}": t for file, ref in objects.items() for name, t in load_state(run.store, ref).items()}


def digests(run: Run) -> list[str]:
    return [ref.sha256 for _, ref in sorted(run.load(ProxyRecord, 0, 0).objects.items())]


@pytest.mark.parametrize("settings", [(), (*UNEVEN, "train.gradient_accumulation_steps=3", "agc.skip_ratio=1.05")])
def test_two_ranks_come_to_the_weights_the_bank_and_the_counts_of_one_process(
    settings: Sequence[str], tmp_path: Path
) -> None:
    one = tensors(trained(tmp_path, "one", *settings))
    two = tensors(trained(tmp_path, "two", *settings, TWO))
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, atol=1e-5, rtol=1e-5, msg=name)


def test_adapters_train_beside_weights_that_are_held_in_parts(tmp_path: Path) -> None:
    settings = ("lora.enabled=true", "train.learning_rate=1e-4", "report.preview=0")
    one, two = (
        trained(tmp_path, name, config=captioned(*settings, *more)) for name, more in (("one", ()), ("two", (TWO,)))
    )
    of_two = tensors(two)
    for name, tensor in tensors(one).items():
        torch.testing.assert_close(of_two[name], tensor, atol=1e-5, rtol=1e-5, msg=name)


def test_in_half_precision_frozen_weights_are_held_in_it(tmp_path: Path) -> None:
    settings = ("lora.enabled=true", "train.precision=bfloat16", "report.preview=0", "iet.local_epochs=1")
    losses = [
        trained(tmp_path, name, config=captioned(*settings, *more)).load(ProxyRecord, 0, 0).figures.loss
        for name, more in (("one", ()), ("two", (TWO,)))
    ]
    assert losses[1] == pytest.approx(losses[0], rel=0.01)


CLOCK = "execution.checkpoint_every_s=1e-9"
"""A checkpoint after every step."""


def _at_the_third_checkpoint(number: signal.Signals) -> None:
    put, left = DirectoryStore.put, count(1)

    def struck(store: DirectoryStore, key: str, data: Any) -> None:
        put(store, key, data)
        if key.endswith("checkpoint.json") and next(left) == 3:
            os.kill(os.getpid(), number)

    DirectoryStore.put = struck  # type: ignore[method-assign]


def killed() -> None:
    _at_the_third_checkpoint(signal.SIGKILL)


def asked() -> None:
    _at_the_third_checkpoint(signal.SIGTERM)


def test_one_that_is_killed_or_asked_ends_all_and_they_go_on_to_the_bytes_of_two_that_were_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = begun(tmp_path, "a", tiny("report.preview=0", "iet.local_epochs=4", TWO, CLOCK))
    notes = Notes()
    for strike, error, line in (
        (killed, OSError, r"^rank 0: killed \(SIGKILL\)"),
        (asked, Stopped, r"^round 0 shard 0: stopped after step \d+, kept$"),
    ):
        monkeypatch.setattr(child, "_start", partial(Forked, before=strike))
        with pytest.raises(error, match=line):
            run_step("train", run, 0, 0, notes)
        assert run.find(ProxyRecord, 0, 0) is None
    monkeypatch.setattr(child, "_start", Forked)
    run_step("train", run, 0, 0, notes)
    assert sum("goes on from step" in note for note in notes.noted) == 2
    done = digests(run)
    run.store.delete([run.key(ProxyRecord, 0, 0)])
    run_step("train", run, 0, 0)
    assert digests(run) == done


class Notes(Silent):
    """Keeps what is noted."""

    def __init__(self) -> None:
        self.noted: list[str] = []

    def note(self, text: str) -> None:
        self.noted.append(text)


def not_a_number() -> None:
    losses = Pixels.losses
    Pixels.losses = lambda *given: losses(*given) * float("inf")  # type: ignore[method-assign]


def out_of_memory_on_one() -> None:
    def fails(*given: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 1 has ...")

    if os.environ["UNECHO_RANK"] == "1/2":
        Pixels.losses = fails  # type: ignore[method-assign]


@pytest.mark.parametrize(
    ("failure", "line"),
    [
        (not_a_number, r"round 0 shard 0: the loss is not a number by step \d+: lower train.learning_rate"),
        (out_of_memory_on_one, r"memory does not suffice .*2.00 GiB.*train.batch_size is 16: lower it"),
    ],
)
def test_what_cannot_be_helped_is_one_line_whichever_rank_says_it(
    failure: Callable[[], None], line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "_start", partial(Forked, before=failure))
    with pytest.raises(Fatal, match=line):
        trained(tmp_path, "a", TWO)


def test_a_machine_with_fewer_gpus_says_how_many_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "choose_device", lambda config: torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(Fatal, match=r"^train\.gpus_per_shard: 2, and 1 GPU is visible: give the process as many"):
        trained(tmp_path, "a", TWO)


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (
            ("train.batch_size=2", "train.gpus_per_shard=4"),
            r"train\.gpus_per_shard: 4 is more than train\.batch_size 2",
        ),
        (("train.optimizer=adamw8bit", TWO), r"train\.optimizer: adamw8bit keeps its moments on one GPU"),
        (("compile=true", TWO), r"compile: true, but a network in 2 parts \(train\.gpus_per_shard\) is not compiled"),
    ],
)
def test_what_cannot_be_parted_is_refused(settings: Sequence[str], line: str) -> None:
    with pytest.raises(Fatal, match=line):
        tiny(*settings)

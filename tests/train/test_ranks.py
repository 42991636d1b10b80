"""One proxy trained by two processes: the numbers of one, the same bytes each time, and one line where one fails."""

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import wait
from functools import partial
from itertools import count
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import torch
from rich.console import Console
from torch import Tensor

from tests.captioned import captioned
from tests.children import Forked
from tests.runs import tiny
from unecho.components import child
from unecho.components.child import Children, End
from unecho.components.config import RunConfig
from unecho.components.diffusion.pixels import Pixels
from unecho.components.failure import Fatal, Stopped
from unecho.components.progress import Progress, Silent
from unecho.components.run import ProxyRecord, Run
from unecho.components.run import tensors as run_tensors
from unecho.components.run.tensors import load_state
from unecho.components.steps import run_step
from unecho.components.store.directory import DirectoryStore
from unecho.components.train import launch, step
from unecho.pipelines.display import Display
from unecho.pipelines.local import Local

TWO = "train.gpus_per_shard=2"
SLOW = ("report.preview=0", "train.learning_rate=1e-4")
"""Adam turns the rounding of a gradient that is almost zero into a step of the learning rate."""
UNEVEN = (
    "train.batch_size=47",
    "train.drop_last=false",
    "train.gradient_accumulation_steps=3",
    "agc.skip_ratio=1.05",
    "iet.local_epochs=4",
)
"""Batches of 47 and 1: parts of 7 and 8, and of none and 1."""


@pytest.fixture(autouse=True)
def forked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "_start", Forked)


def in_another_order() -> None:
    """What is read stands in an order of the process's own, which those that are forked from one have in common."""

    load = load_state

    def read(*given: Any) -> dict[str, Tensor]:
        found = sorted(load(*given).items())
        return dict(found if os.environ["UNECHO_RANK"].startswith("0") else reversed(found))

    step.load_state = read  # type: ignore[attr-defined]
    run_tensors.load_state = read


def begun(root: Path, name: str, config: RunConfig) -> Run:
    """A run whose next step is to train."""
    run = Run.at(str(root), name)
    local = Local(run, config, Display(Console(quiet=True)))
    for name_of_step in ("plan", "prepare"):
        local.step(name_of_step)
    local.map("encode", over="encodings")
    for name_of_step in ("initialize", "shard"):
        local.step(name_of_step)
    local.step("begin", 0)
    return run


def trained(root: Path, name: str, *settings: str, config: RunConfig | None = None) -> Run:
    run = begun(root, name, config or tiny(*SLOW, *settings))
    run_step("train", run, 0, 0)
    return run


def tensors(run: Run) -> dict[str, Tensor]:
    """All that is committed of proxy 0."""
    objects = run.load(ProxyRecord, 0, 0).objects
    return {f"{file} {name}": t for file, ref in objects.items() for name, t in load_state(run.store, ref).items()}


def digests(run: Run) -> list[str]:
    return [ref.sha256 for _, ref in sorted(run.load(ProxyRecord, 0, 0).objects.items())]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Trained by two, from first to last."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(child, "_start", partial(Forked, before=in_another_order))
        return trained(tmp_path_factory.mktemp("two"), "two", *UNEVEN, TWO)


def test_two_ranks_come_to_the_weights_the_bank_and_the_counts_of_one_process(two: Run, tmp_path: Path) -> None:
    of_two = tensors(two)
    of_one = tensors(trained(tmp_path, "one", *UNEVEN))
    assert of_one.keys() == of_two.keys()
    assert 0 < of_one["statistics.safetensors skips"].sum() < of_one["statistics.safetensors visits"].sum()
    for name, tensor in of_one.items():
        torch.testing.assert_close(of_two[name], tensor, atol=1e-5, rtol=1e-5, msg=name)


ADAPTERS = ("lora.enabled=true", "train.learning_rate=1e-4", "report.preview=0")


def test_adapters_train_beside_weights_that_are_held_in_parts_and_in_half_precision(tmp_path: Path) -> None:
    of_one = trained(tmp_path, "one", config=captioned(*ADAPTERS))
    of_two = trained(tmp_path, "two", config=captioned(*ADAPTERS, TWO))
    in_two = tensors(of_two)
    for name, tensor in tensors(of_one).items():
        torch.testing.assert_close(in_two[name], tensor, atol=1e-5, rtol=1e-5, msg=name)
    half = trained(tmp_path, "half", config=captioned(*ADAPTERS, TWO, "train.precision=bfloat16"))
    assert loss_of(half) == pytest.approx(loss_of(of_two), rel=0.02)
    assert loss_of(half) != loss_of(of_two)


def loss_of(run: Run) -> float:
    figures = run.load(ProxyRecord, 0, 0).figures
    assert figures
    return figures.loss


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
    in_another_order()
    _at_the_third_checkpoint(signal.SIGKILL)


def asked() -> None:
    in_another_order()
    _at_the_third_checkpoint(signal.SIGTERM)


def test_one_that_is_killed_or_asked_ends_all_and_they_go_on_to_the_bytes_of_those_that_were_not(
    two: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = begun(tmp_path, "a", tiny(*SLOW, *UNEVEN, TWO, CLOCK))
    notes = Notes()
    for strike, error, line in (
        (killed, OSError, r"^rank 0: killed \(SIGKILL\)"),
        (asked, Stopped, r"^round 0 shard 0: stopped after step \d+, kept$"),
    ):
        monkeypatch.setattr(child, "_start", partial(Forked, before=strike))
        with pytest.raises(error, match=line):
            run_step("train", run, 0, 0, notes)
        assert run.find(ProxyRecord, 0, 0) is None
    monkeypatch.setattr(child, "_start", partial(Forked, before=in_another_order))
    run_step("train", run, 0, 0, notes)
    assert sum("goes on from step" in note for note in notes.noted) == 2
    assert digests(run) == digests(two)


def test_the_first_may_write_a_checkpoint_as_long_as_it_takes_after_the_others_have_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks, written, killed = count(1), Event(), list[bool]()

    def run_rank(children: Children, arguments: Sequence[str], environment: Mapping[str, str], told: Progress) -> End:
        if environment["UNECHO_RANK"] == "0/2":
            written.wait()
        return End(143, "stopped")

    def look(pending: Any, *given: Any) -> Any:
        if next(looks) == 5:
            written.set()
        return wait(pending, *given)

    monkeypatch.setattr(Children, "run", run_rank)
    monkeypatch.setattr(Children, "kill", lambda children: killed.append(True))
    monkeypatch.setattr(launch, "_GRACE_S", 0.01)
    monkeypatch.setattr(launch, "wait", look)
    with pytest.raises(Stopped):
        launch.train_on_ranks(Run.at(str(tmp_path), "a"), tiny(TWO), 0, 0, Silent())
    assert not killed


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

"""A network that torch compiles trains as one that it does not, and a training of it goes on with the same bytes."""

import os
import shutil
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from unecho.components.config import RunConfig, resolve
from unecho.components.diffusion import arithmetic, compiling
from unecho.components.diffusion.arithmetic import compiles, sample_precision, train_precision
from unecho.components.diffusion.compiling import Compiling
from unecho.components.diffusion.pixels import Pixels, initial_network, network_config
from unecho.components.failure import Fatal
from unecho.components.method.augment import Augmenter
from unecho.components.train.held import HeldRows
from unecho.components.train.order import Order
from unecho.components.train.pixel_batches import PixelBatches
from unecho.components.train.slot import Slot
from unecho.components.train.update import Trainer

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
SAMPLES = 20
SMALL = ("model.block_out_channels=[8]", "model.dropout=0.1", "train.batch_size=16", "train.drop_last=false")
"""The last batch of an epoch has 4 samples: a shape of its own."""
GXX = pytest.mark.skipif(shutil.which("g++") is None, reason="no g++, with which torch compiles for a CPU")


def trained(
    updates: Sequence[int], compile: bool | str, *settings: str, note: Callable[[str], None] = print
) -> dict[str, Tensor]:
    """A slot after so many updates, its process ended and begun anew in between."""
    config = resolve("tiny", settings=(*SMALL, *settings))
    torch.set_num_threads(1)
    snapshot: tuple[dict[str, Tensor], int] | None = None
    for number in updates:
        slot, trainer = slot_and_trainer(config, CPU, compile, note)
        if snapshot:
            slot.restore(*snapshot)
        for _ in range(number):
            trainer.update()
        snapshot = slot.snapshot(), slot.batches
    assert snapshot is not None
    return snapshot[0]


def slot_and_trainer(
    config: RunConfig, device: torch.device = CPU, compile: Any = False, note: Callable[[str], None] = print
) -> tuple[Slot, Trainer]:
    arguments = network_config(config, 1, 8)
    state = initial_network(arguments, 0).state_dict()
    family = Pixels(config, None)
    slot = Slot(config, family.trainable(arguments), state, state, torch.zeros(SAMPLES, dtype=torch.bool), device)
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (SAMPLES, 1, 8, 8), np.uint8))
    rows = HeldRows(lambda places: pixels[places], np.arange(SAMPLES), device)
    batches = PixelBatches(config, 0, Order(config, 0, SAMPLES), rows, Augmenter(config, device), family, device)
    made = Compiling(slot.network, compile, note) if compile else None
    return slot, Trainer(config, family, 0, slot, batches, made)


def assert_equal(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    assert [name for name in found if not torch.equal(found[name], expected[name])] == []


def test_captured_and_not_rewritten_it_trains_to_the_bytes_of_the_network_as_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Forward, backward, dropout, both shapes of a batch, as torch captures them, by the kernels of every day; killed
    in the middle."""
    monkeypatch.setattr(compiling, "BACKEND", "aot_eager")
    assert_equal(trained([1, 2], True), trained([3], False))


@GXX
def test_compiled_a_network_gives_the_same_within_rounding_and_its_weights_keep_their_names() -> None:
    torch.manual_seed(0)
    network, x = nn.Sequential(nn.Linear(8, 16), nn.SiLU(), nn.Linear(16, 8)), torch.randn(4, 8)
    names, expected = list(network.state_dict()), network(x)
    passing = Compiling(network, True, print)
    torch.testing.assert_close(passing(lambda: network(x)), expected)
    assert passing.works
    assert list(network.state_dict()) == names


@GXX
@pytest.mark.skipif("UNECHO_TEST_COMPILE" not in os.environ, reason="minutes: set UNECHO_TEST_COMPILE=1")
def test_compiled_it_trains_to_the_same_weights_within_rounding_and_killed_to_the_same_bytes() -> None:
    small = ("model.dropout=0", "train.batch_size=20")
    plain, whole, killed = trained([3], False, *small), trained([3], True, *small), trained([1, 2], True, *small)
    assert_equal(killed, whole)
    for name, expected in plain.items():
        torch.testing.assert_close(whole[name], expected, rtol=1e-3, atol=1e-5, msg=name)


class TestWhereItCannotBe:
    @pytest.fixture(autouse=True)
    def without_a_compiler(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def backend(graph: object, inputs: object) -> object:
            raise RuntimeError("Failed to find a C compiler.\nPlease specify one.")

        monkeypatch.setattr(compiling, "BACKEND", backend)

    def test_auto_goes_on_without_says_so_in_a_line_and_trains_to_the_same_bytes(self) -> None:
        notes: list[str] = []
        found = trained([2], "auto", note=notes.append)
        assert notes == [
            "compile: auto: torch cannot compile the network here (RuntimeError: Failed to find a C compiler.): "
            "it goes on without"
        ]
        assert_equal(found, trained([2], False))

    def test_asked_for_it_is_one_line(self) -> None:
        with pytest.raises(Fatal) as told:
            trained([1], True)
        assert str(told.value) == (
            "compile: true: torch cannot compile the network here (RuntimeError: Failed to find a C compiler.): "
            "set compile=false"
        )

    def test_memory_and_mistakes_are_told_as_what_they_are(self) -> None:
        passing = Compiling(nn.Linear(1, 1), True, print)
        for error in (torch.OutOfMemoryError("CUDA out of memory."), ValueError("no such thing")):

            def compute(error: Exception = error) -> None:
                raise error

            with pytest.raises(type(error), match=str(error)):
                passing(compute)


def config(*settings: str) -> RunConfig:
    return resolve("cifar10", settings=settings)


def test_auto_compiles_on_cuda_where_there_are_a_thousand_passes() -> None:
    assert [compiles(config(), CUDA, passes) for passes in (999, 1000)] == [False, True]
    assert not compiles(config(), CPU, 10**6)
    assert compiles(config("compile=true"), CPU, 1)
    assert not compiles(config("compile=false"), CUDA, 10**6)


def test_auto_is_bfloat16_on_cuda_that_has_it_and_float32_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    for has, expected in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr(arithmetic, "_has_bfloat16", lambda device, has=has: has)
        assert train_precision(config(), CUDA) == sample_precision(config(), CUDA) == expected
    monkeypatch.setattr(arithmetic, "_has_bfloat16", lambda device: True)
    assert train_precision(config(), CPU) == sample_precision(config(), CPU) == "float32"
    assert train_precision(config("train.precision=float32"), CUDA) == "float32"
    assert sample_precision(config("sample.precision=bfloat16"), CPU) == "bfloat16"


def test_a_model_that_is_audited_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arithmetic, "_has_bfloat16", lambda device: True)
    given = resolve(None, settings=("audit.model=/somewhere",))
    assert sample_precision(given, CUDA) == "float32"
    asked = resolve(None, settings=("audit.model=/somewhere", "sample.precision=bfloat16"))
    assert sample_precision(asked, CUDA) == "bfloat16"

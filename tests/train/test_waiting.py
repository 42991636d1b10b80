"""What a step must not do: wait for the device, whose work it hands out ahead; and what it does there in one pass."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from diffusers.training_utils import EMAModel
from torch.utils._python_dispatch import TorchDispatchMode

from tests.train.test_compiled import CPU, CUDA, slot_and_trainer
from unecho.components.config import resolve
from unecho.components.diffusion.latents import scaled, text_states
from unecho.components.train.slot import as_they_lie, average_at_once

WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "lift_fresh", "equal", "unique")
"""What needs values of the device on the host, and `torch.tensor`, which sends values to the device and waits."""


class Waits(TorchDispatchMode):
    """Notes the operations that would wait, were the tensors a GPU's."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = str(func).split(".")[1]
        if any(name == wait or name.startswith(f"{wait}_") for wait in WAITS):
            self.found.append(name)
        if name in ("index", "index_put", "index_put_") and any(
            one is not None and one.dtype == torch.bool for one in args[1]
        ):
            self.found.append(f"{name} by a mask")
        return func(*args, **(kwargs or {}))


def waits(work: Callable[[], object]) -> list[str]:
    with Waits() as seen:
        work()
    return seen.found


def test_what_waits_is_seen() -> None:
    x = torch.ones(3)
    assert waits(lambda: x.sum().item()) == ["_local_scalar_dense"]
    assert waits(lambda: x[x > 0]) == ["index by a mask"]
    assert waits(lambda: torch.tensor([1.0])) == ["lift_fresh"]
    assert waits(lambda: x[torch.arange(2)] + x.sum()) == []


@pytest.mark.parametrize(
    "settings",
    [(), ("train.gradient_accumulation_steps=2",), ("train.gradient_accumulation_steps=2", "agc.enabled=false")],
)
def test_an_update_of_pixels_does_not_wait_for_the_device(settings: tuple[str, ...]) -> None:
    """All parts on; but for the optimizer, which on a CPU reads its count of steps there."""
    _, trainer = slot_and_trainer(resolve("tiny", settings=("train.min_snr_gamma=5", "train.batch_size=8", *settings)))
    trainer.update()  # an epoch begins: its order is sent
    step = trainer._slot.optimizer.step
    trainer._slot.optimizer.step = lambda: None  # type: ignore[method-assign,assignment]
    assert waits(trainer.update) == []
    trainer._slot.optimizer.step = step  # type: ignore[method-assign]


def test_what_a_latents_update_tells_the_network_is_sent_once() -> None:
    class XL:
        cross_attention_dim, addition_embed_type = 4, "text_time"
        projection_class_embeddings_input_dim, addition_time_embed_dim = 6 * 8 + 3, 8

    vae = {"scaling_factor": 0.5, "latents_mean": [1.0, 2.0], "latents_std": [2.0, 4.0], "block_out_channels": (4, 4)}
    latent, rows = torch.ones(2, 2, 1, 1), torch.zeros(2, 2 * 4 + 3)

    def told() -> tuple[torch.Tensor, Any]:
        return scaled(latent, vae), text_states(XL, rows, 8, vae)[1]

    told()
    assert waits(told) == []
    found, added = told()
    assert found.flatten(1).tolist() == [[0.0, -0.125]] * 2  # (1 - mean) * 0.5 / std
    assert added["time_ids"].tolist() == [[16.0, 16.0, 0.0, 0.0, 16.0, 16.0]] * 2


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_cuda_an_update_does_not_wait_for_the_device() -> None:
    _, trainer = slot_and_trainer(resolve("tiny", settings=("train.batch_size=8",)), CUDA)
    trainer.update()
    torch.cuda.set_sync_debug_mode("error")
    try:
        trainer.update()
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_the_average_in_one_pass_is_diffusers_average() -> None:
    torch.manual_seed(0)
    weights = [torch.randn(5, 3), torch.randn(7)]
    averages = [EMAModel(weights, decay=0.99, min_decay=0.0, foreach=True) for _ in range(2)]
    for _ in range(5):
        weights = [weight + torch.randn_like(weight) for weight in weights]
        averages[0].step([weight.requires_grad_() for weight in weights])
        average_at_once(averages[1], weights)
        weights = [weight.detach() for weight in weights]
    torch.testing.assert_close(averages[1].shadow_params, averages[0].shadow_params)
    assert averages[1].optimization_step == 5


def test_moments_lie_as_their_weights_do_with_the_same_values() -> None:
    weight = torch.zeros(4, 3, 2, 2).to(memory_format=torch.channels_last)
    moments = {"exp_avg": torch.arange(48.0).view(4, 3, 2, 2), "of_another_shape": torch.arange(3.0)}
    laid = as_they_lie(moments, weight)
    assert laid["exp_avg"].stride() == weight.stride() != moments["exp_avg"].stride()
    assert all(torch.equal(laid[name], moments[name]) for name in moments)
    assert laid["exp_avg"].device == CPU

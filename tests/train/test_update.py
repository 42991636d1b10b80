"""One update against its formula, worked out by autograd: who is skipped, by what is divided, what the bank holds."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.captioned import captioned
from unecho.components.config import RunConfig
from unecho.components.diffusion.family import Batch
from unecho.components.train import slot as slot_module
from unecho.components.train.slot import Slot
from unecho.components.train.update import Trainer, learning_rate

SAMPLES, T = 8, 50


class Linear:
    """A family of one weight vector: a sample's loss is the square of weight . x0 - noise's mean - t."""

    def __init__(self) -> None:
        self.seen: list[tuple[Batch, Tensor, Tensor]] = []

    def losses(self, network: nn.Module, batch: Batch, t: Tensor, noise: Tensor) -> Tensor:
        self.seen.append((batch, t, noise))
        return self.by_hand(network.weight[0], batch.x0, t, noise)

    @staticmethod
    def by_hand(weight: Tensor, x0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        return (x0.mean(dim=(2, 3)) @ weight - noise.mean(dim=(1, 2, 3)) - t / T) ** 2

    def weights_of(self, t: Tensor) -> Tensor | None:
        return 1 + t.float()


class Fixed:
    """All samples at every step."""

    steps_per_epoch = 1

    def at(self, step: int, augment_next: Tensor) -> Any:
        return self

    samples = torch.arange(SAMPLES)

    def batch(self, flagged: Tensor) -> Batch:
        x0 = torch.linspace(-1, 1, SAMPLES * 3 * 16).reshape(SAMPLES, 3, 4, 4)
        return Batch(x0, torch.zeros(SAMPLES, dtype=torch.int64))


def config(*settings: str) -> RunConfig:
    return captioned("train.batch_size=8", "train.learning_rate=1", "train.grad_clip=null", *settings)


def updated(config: RunConfig, bank: Tensor, monkeypatch: pytest.MonkeyPatch) -> tuple[Slot, Linear, Tensor]:
    """A slot after one update by plain gradient descent at rate 1, the family, and the weight as it was."""
    monkeypatch.setattr(slot_module, "optimizer_of", lambda config, p: torch.optim.SGD(p, lr=1.0))
    network = nn.Linear(3, 1, bias=False)
    before = torch.tensor([0.3, -0.2, 0.5])
    state = {"weight": before[None].clone()}
    slot = Slot(config, network, state, state, torch.zeros(SAMPLES, dtype=torch.bool), torch.device("cpu"))
    slot.bank.level.copy_(bank)
    family = Linear()
    Trainer(config, family, 0, slot, Fixed()).update()  # type: ignore[arg-type]
    return slot, family, before


@pytest.mark.parametrize("parts", [1, 3, 4, 8])
@pytest.mark.parametrize("agc", [True, False])
def test_the_gradient_is_that_of_the_mean_over_the_whole_batchs_kept_samples(
    parts: int, agc: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    bank = torch.where(torch.arange(T) % 2 == 0, 0.0, 1e6)  # what drew an odd timestep is skipped
    of = config(f"train.gradient_accumulation_steps={parts}", f"agc.enabled={agc}")
    slot, family, before = updated(of, bank, monkeypatch)
    assert len(family.seen) == parts
    x0, t, noise = (torch.cat(some) for some in zip(*((b.x0, t, n) for b, t, n in family.seen), strict=True))
    kept = t % 2 == 0
    assert 0 < kept.sum() < SAMPLES
    weight = before.clone().requires_grad_()
    loss = Linear.by_hand(weight, x0, t, noise)
    counted = kept if agc else torch.ones_like(kept)
    ((loss * (1 + t))[counted].sum() / counted.sum()).backward()
    torch.testing.assert_close(slot.network.weight[0].detach(), before - weight.grad, atol=1e-5, rtol=1e-5)

    # the bank holds the losses as they are, not as they weigh, in the order of the batch
    level = bank.clone()
    for t_i, loss_i in zip(t.tolist(), loss.tolist(), strict=True):
        level[t_i] = 0.8 * level[t_i] + 0.2 * loss_i
    torch.testing.assert_close(slot.bank.level, level)
    assert slot.skips.tolist() == (~kept).int().tolist()
    assert float(slot.loss_sum) == pytest.approx(float(loss.detach().double().sum()), rel=1e-5)


@pytest.mark.parametrize("parts", [1, 4])
def test_a_batch_that_is_skipped_whole_changes_nothing(parts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    slot, _, before = updated(config(f"train.gradient_accumulation_steps={parts}"), torch.full((T,), 1e6), monkeypatch)
    assert torch.equal(slot.network.weight[0], before)
    assert slot.skips.sum() == SAMPLES
    assert slot.step == 1


def test_the_offset_of_the_noise_is_the_same_for_all_of_a_channel(monkeypatch: pytest.MonkeyPatch) -> None:
    def noise(offset: float) -> Tensor:
        return updated(config(f"train.noise_offset={offset}"), torch.zeros(T), monkeypatch)[1].seen[0][2]

    added = noise(0.5) - noise(0)  # of the same stream
    torch.testing.assert_close(added, added[:, :, :1, :1].expand_as(added), atol=1e-6, rtol=0)
    of_channel = added[:, :, 0, 0]
    assert len(of_channel.unique()) == SAMPLES * 3
    assert 0.3 < of_channel.std() < 0.7


def test_the_rate_goes_by_optimizer_steps_whatever_a_step_is_made_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """A warm-up of 10 epochs of one step: the first step has a tenth of the rate."""
    moved = []
    for parts in (1, 4):
        of = config(f"train.gradient_accumulation_steps={parts}", "train.warmup_epochs=10")
        slot, family, before = updated(of, torch.zeros(T), monkeypatch)
        x0, t, noise = (torch.cat(some) for some in zip(*((b.x0, t, n) for b, t, n in family.seen), strict=True))
        weight = before.clone().requires_grad_()
        (Linear.by_hand(weight, x0, t, noise) * (1 + t)).mean().backward()
        moved.append(slot.network.weight[0].detach() - before)
        torch.testing.assert_close(moved[-1], -0.1 * weight.grad, atol=1e-5, rtol=1e-5)
        assert slot.step == 1
        assert learning_rate(of, slot.step, 1, 100) == pytest.approx(0.2)
    torch.testing.assert_close(moved[0], moved[1])

"""The memory bank and the skip rule, against the definition written out sample by sample."""

import pytest
import torch

from unecho.components.method.anti_gradient import MemoryBank, is_skipped, mean_of_kept


def sequential(level: list[float], t: list[int], loss: list[float]) -> list[float]:
    level = list(level)
    for t_i, loss_i in zip(t, loss, strict=True):
        level[t_i] = 0.8 * level[t_i] + 0.2 * loss_i
    return level


@pytest.mark.parametrize("seed", range(5))
def test_bank_applies_a_batch_one_sample_after_another_also_where_timesteps_repeat(seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    level = torch.rand(6, generator=draw)
    expected = level.tolist()
    bank = MemoryBank(level.clone())
    for _ in range(4):
        t = torch.randint(6, (40,), generator=draw)  # 40 samples on 6 timesteps: many repeats
        loss = torch.rand(40, generator=draw)
        bank.update(t, loss)
        expected = sequential(expected, t.tolist(), loss.tolist())
    torch.testing.assert_close(bank.level, torch.tensor(expected), rtol=1e-5, atol=1e-6)


def test_bank_by_hand() -> None:
    bank = MemoryBank(torch.tensor([0.0, 1.0, 5.0]))
    bank.update(torch.tensor([1, 0, 1]), torch.tensor([2.0, 10.0, 0.0]))
    # m[1] = 0.8 * (0.8 * 1 + 0.2 * 2) + 0.2 * 0 = 0.96; m[0] = 0.2 * 10; m[2] untouched
    torch.testing.assert_close(bank.level, torch.tensor([2.0, 0.96, 5.0]))


def test_a_sample_is_skipped_when_its_loss_times_the_ratio_is_below_the_bank() -> None:
    loss = torch.tensor([0.4, 0.5, 0.6])
    bank = torch.ones(3)
    assert is_skipped(loss, bank, 2.0).tolist() == [True, False, False]  # 0.5 * 2 = 1 is not below 1
    assert is_skipped(loss, torch.zeros(3), 2.0).tolist() == [False, False, False]  # an empty bank skips nothing


def test_batch_loss_is_the_mean_over_the_samples_kept_and_zero_when_none_is() -> None:
    loss = torch.tensor([1.0, 2.0, 6.0], requires_grad=True)
    assert mean_of_kept(loss, torch.tensor([False, True, False])).item() == 3.5
    nothing = mean_of_kept(loss, torch.tensor([True, True, True]))
    assert nothing.item() == 0
    nothing.backward()
    assert loss.grad is not None
    assert loss.grad.tolist() == [0, 0, 0]


def test_a_skipped_sample_has_no_gradient() -> None:
    loss = torch.tensor([1.0, 2.0], requires_grad=True)
    mean_of_kept(loss, torch.tensor([False, True])).backward()
    assert loss.grad is not None
    assert loss.grad.tolist() == [1.0, 0.0]

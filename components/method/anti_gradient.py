"""Anti-gradient control: the memory bank, and which samples it skips (arXiv 2407.15328, section 3.2)."""

from typing import Final

import torch
from torch import Tensor

DECAY: Final = 0.8


class MemoryBank:
    """m[t]: running mean of the per-sample loss by timestep, zero at the start.

    No call waits for the device.
    """

    def __init__(self, level: Tensor) -> None:
        """
        Args:
            level: float32 [T], updated in place.
        """
        self.level = level

    def at(self, t: Tensor) -> Tensor:
        """m[t_i], float32 [B], for timesteps int64 [B]."""
        return self.level[t]

    def update(self, t: Tensor, loss: Tensor) -> None:
        """Apply `m[t_i] = 0.8 m[t_i] + 0.2 loss_i` for i = 0..B-1, one after another.

        In closed form: where t occurs n times, with losses l_1..l_n in batch order,
        m = 0.8^n m + sum over j of 0.2 * 0.8^(n - j) l_j.

        Args:
            t: timesteps, int64 [B].
            loss: per-sample losses, float32 [B].
        """
        same = t[:, None] == t[None, :]
        later = same.triu(diagonal=1).sum(dim=1)  # samples of the same timestep further on in the batch
        weighed = (1 - DECAY) * DECAY**later * loss
        # Rows of equal t are equal, so what they write is too, and their order does not matter.
        arrived = torch.where(same, weighed[None, :], 0.0).sum(dim=1)
        self.level[t] = DECAY ** same.sum(dim=1) * self.level[t] + arrived


def is_skipped(loss: Tensor, bank: Tensor, skip_ratio: float) -> Tensor:
    """Whether a sample's loss is abnormally low, bool [B]: loss_i * skip_ratio < m[t_i].

    Args:
        loss: float32 [B].
        bank: m[t_i] as it was before this batch, float32 [B].
    """
    return loss * skip_ratio < bank


def mean_of_kept(loss: Tensor, skipped: Tensor) -> Tensor:
    """The batch loss: the mean over the samples kept, 0 when none is.

    A batch without kept samples has a gradient of zero, not none: the optimizer's step still moves the weights,
    by Adam's momentum (and by the weight decay of AdamW), and the moments decay.

    Args:
        loss: float32 [B].
        skipped: bool [B].
    """
    return sum_of_kept(loss, skipped) / (~skipped).to(loss.dtype).sum().clamp(min=1)


def sum_of_kept(loss: Tensor, skipped: Tensor) -> Tensor:
    """The sum over the samples kept: for a part of a batch, whose mean is taken when all parts are there."""
    return (loss * (~skipped).to(loss.dtype)).sum()

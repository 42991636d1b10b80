"""The kernel distance of two sets of features: KID, where they are Inception's."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

_SEED = 2020
"""Of the choice of subsets: torch-fidelity's, so that the figures are the same."""


@dataclass(frozen=True)
class KernelDistance:
    """Squared maximum mean discrepancy (MMD), unbiased: about 0 for two sets of one distribution.

    Attributes:
        mean, std: over the subsets; std is 0 where one subset holds all of both sets.
        subsets: how many; `size`: images of each.
    """

    mean: float
    std: float
    subsets: int
    size: int


def kernel_distance(a: Tensor, b: Tensor, subsets: int, size: int) -> KernelDistance:
    """MMD^2 under the kernel (x . y / F + 1)^3, the mean over random subsets of both sets.

    M. Binkowski et al., "Demystifying MMD GANs" (arXiv 1801.01401), section 4; computed as torch-fidelity does.

    Args:
        a, b: float [n, F] and [m, F], at least two each.
        subsets: how many; each is drawn without repetition.
        size: images of each set in a subset; less where a set holds less.
    """
    size = min(size, len(a), len(b))
    if size == len(a) == len(b):
        subsets = 1  # they would all be the same
    random = np.random.RandomState(_SEED)
    found = []
    for _ in range(subsets):
        some = (x[torch.from_numpy(random.choice(len(x), size, replace=False)).to(x.device)] for x in (a, b))
        found.append(_discrepancy(*some))
    return KernelDistance(float(np.mean(found)), float(np.std(found)), subsets, size)


def _discrepancy(a: Tensor, b: Tensor) -> float:
    """Unbiased MMD^2 of two sets of one size: pairs of an image with itself are left out."""
    size = len(a)
    within = sum(float(k.sum() - k.diagonal().sum()) for k in (_kernel(a, a), _kernel(b, b)))
    return within / (size * (size - 1)) - 2 * float(_kernel(a, b).sum()) / size**2


def _kernel(a: Tensor, b: Tensor) -> Tensor:
    base = a.double() @ b.double().T / a.shape[1] + 1
    return base * base * base

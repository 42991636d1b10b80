"""The processes that train one proxy together, and the one that trains it alone."""

import os
from typing import Final, Protocol

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from ..diffusion.family import TrainableFamily

RANK: Final = "UNECHO_RANK"
"""In the environment of a process that is one of several: its number and how many there are, as 0/2."""
RENDEZVOUS: Final = "UNECHO_RENDEZVOUS"
"""The file by which they find each other."""


class Ranks(Protocol):
    """Those that train one proxy. Every one of them calls the same at the same step.

    Attributes:
        first: whether this is the one that writes, looks at the clock and tells.
        several: whether there are others.
    """

    @property
    def first(self) -> bool: ...

    @property
    def several(self) -> bool: ...

    def network(self, network: nn.Module, device: torch.device) -> nn.Module:
        """The network, of whose weights each rank holds a part on the device; still to be given its weights."""

    def family(self, family: TrainableFamily) -> TrainableFamily:
        """The family, whose losses are computed by all, each a part of the batch."""

    def agreed(self, status: int | None, due: bool) -> tuple[int | None, bool]:
        """What all do after this step: the exit status to stop with, and whether to write a checkpoint.

        Args:
            status, due: what this one would do.
        """

    def check_one_step(self, step: int) -> None:
        """Whether all go on from the same step."""


class Alone:
    """One process."""

    first, several = True, False

    def network(self, network: nn.Module, device: torch.device) -> nn.Module:
        return network

    def family(self, family: TrainableFamily) -> TrainableFamily:
        return family

    def agreed(self, status: int | None, due: bool) -> tuple[int | None, bool]:
        return status, due

    def check_one_step(self, step: int) -> None:
        pass


def is_rank() -> bool:
    """Whether this process is one of several."""
    return RANK in os.environ


def whole(tensor: Tensor) -> Tensor:
    """A tensor of which each rank holds a part, put together on the CPU of the first; the others get an empty one.

    Any other tensor as it is. All ranks must call it for the same tensor.
    """
    if not isinstance(tensor, DTensor):
        return tensor
    full = tensor.full_tensor()
    return full.cpu() if tensor.device_mesh.get_rank() == 0 else full.new_empty(0, device="cpu")


def part_like(tensor: Tensor, like: Tensor) -> Tensor:
    """This rank's part of a whole tensor, as it holds one of another; the tensor as it is where that one is whole."""
    if not isinstance(like, DTensor):
        return tensor
    return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements, src_data_rank=None)

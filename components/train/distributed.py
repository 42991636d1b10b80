"""One proxy on several GPUs of a machine: each rank holds a part of the weights, the moments and the moving average.

The weights that a block computes with are put together before it and let go after it (fully sharded data parallelism,
arXiv 2304.11277; torch's `fully_shard`). All ranks draw what one process would draw, and each computes the losses of
its part of the batch; the losses are exchanged, so that the memory bank, the counts and the mean over the kept samples
are of the whole batch, and every rank holds the same.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard

from ..config import RunConfig
from ..diffusion.device import choose_device
from ..diffusion.family import Batch, TrainableFamily
from ..method.streams import begin_default
from .ranks import RANK, RENDEZVOUS

_PATIENCE: Final = timedelta(minutes=30)
"""What a rank may be behind the others: the first writes checkpoints to a store that may be away for minutes."""
_BLOCKS: Final = ("ResnetBlock2D", "BasicTransformerBlock")
"""Classes of diffusers whose weights are put together at once; those outside of them are for all of a pass."""


@contextmanager
def joined(config: RunConfig) -> Iterator["Sharded"]:
    """Find the other ranks, by the environment; leave them at the end of a block that ends well."""
    rank, count = map(int, os.environ[RANK].split("/"))
    kind = choose_device(config).type
    if kind == "cuda":
        torch.cuda.set_device(rank)
    if sys.platform == "linux":  # all are here; a host's own name may not resolve
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    dist.init_process_group(
        "nccl" if kind == "cuda" else "gloo",
        init_method=f"file://{os.environ[RENDEZVOUS]}",
        rank=rank,
        world_size=count,
        timeout=_PATIENCE,
    )
    yield Sharded(init_device_mesh(kind, (count,)))
    dist.destroy_process_group()


class Sharded:
    """Several processes, one a GPU, each with its part."""

    several = True

    def __init__(self, mesh: DeviceMesh) -> None:
        self._mesh = mesh
        self._rank, self._count = mesh.get_rank(), mesh.size()
        self.first = self._rank == 0
        # by way of the hosts, so that nobody waits for a device
        self._hosts = cast(dist.ProcessGroup, dist.new_group(backend="gloo", timeout=_PATIENCE))

    def network(self, network: nn.Module, device: torch.device) -> nn.Module:
        """Blocks get to the device one by one, so that the whole network is never there."""
        for module in network.modules():
            if type(module).__name__ in _BLOCKS:
                fully_shard(module, mesh=self._mesh)
        # the rest too is let go after a pass: batches that are scored only are not followed by a backward one
        fully_shard(network, mesh=self._mesh, reshard_after_forward=True)
        return network

    def family(self, family: TrainableFamily) -> TrainableFamily:
        return _Parted(family, self._rank, self._count)

    def agreed(self, status: int | None, due: bool) -> tuple[int | None, bool]:
        """A signal that has reached one reaches all."""
        told = torch.tensor([status or 0, due])
        dist.all_reduce(told, dist.ReduceOp.MAX, self._hosts)
        return int(told[0]) or None, bool(told[1])

    def check_one_step(self, step: int) -> None:
        """Whether all go on from the same step.

        Raises:
            OSError: another process writes checkpoints of this proxy too.
        """
        told = torch.tensor([step, -step])
        dist.all_reduce(told, dist.ReduceOp.MAX, self._hosts)
        if told[0] != -told[1]:
            raise OSError(f"checkpoints of steps {-told[1]} and {told[0]} were found: another process trains this too")


class _Parted:
    """A family whose losses are those of the whole batch, of which each rank computes a part with a gradient."""

    def __init__(self, family: TrainableFamily, rank: int, count: int) -> None:
        self._family, self._rank, self._count = family, rank, count

    def __getattr__(self, name: str) -> Any:
        return getattr(self._family, name)

    def losses(self, network: nn.Module, batch: Batch, t: Tensor, noise: Tensor) -> Tensor:
        """Per-sample losses of the whole batch, float32 [B]; those of other ranks are constants."""
        first, last = (len(t) * place // self._count for place in (self._rank, self._rank + 1))
        # a batch of fewer samples than ranks: all must pass, some with a sample that counts for nothing
        mine = slice(first, last) if last > first else slice(0, 1)
        # dropout: a stream of each rank, a function of the step's
        begin_default(t.device, "rank", int(torch.randint(2**62, ())), self._rank)
        loss = self._family.losses(network, _part(batch, mine), t[mine], noise[mine])
        if loss.requires_grad:  # gradients are averaged over ranks, and are to be added
            loss.register_hook(self._added)  # type: ignore[no-untyped-call]
        others = torch.zeros(len(t), dtype=loss.dtype, device=loss.device)
        if last > first:
            others[mine] = loss.detach()
        dist.all_reduce(others)
        if last == first:
            return others + 0 * loss
        return torch.cat([others[:first], loss, others[last:]])

    def _added(self, gradient: Tensor) -> Tensor:
        return gradient * self._count


def _part(batch: Batch, mine: slice) -> Batch:
    text = None if batch.text is None else batch.text[mine]
    return replace(batch, x0=batch.x0[mine], condition=batch.condition[mine], text=text)

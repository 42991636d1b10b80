"""Where arithmetic happens, and how it is made to give the same bytes each time."""

import gc
import os
from typing import Final

import torch

from ..config import RunConfig
from ..failure import Fatal


def choose_device(config: RunConfig) -> torch.device:
    """The device of `execution.device`.

    Raises:
        Fatal: it was asked for by name and is not there.
    """
    present = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    wanted = config.execution.device
    if wanted == "auto":
        return torch.device(next(name for name, there in present.items() if there))
    if not present[wanted]:
        raise Fatal(f"execution.device: '{wanted}' is not available here; present: {_names(present)}")
    return torch.device(wanted)


def choose_exact_device(config: RunConfig) -> torch.device:
    """The same for what is measured: MPS has no float64, on which exactness rests.

    Raises:
        Fatal: of `choose_device`.
    """
    device = choose_device(config)
    return torch.device("cpu") if device.type == "mps" else device


def _names(present: dict[str, bool]) -> str:
    return ", ".join(name for name, there in present.items() if there)


def device_name(device: torch.device) -> str | None:
    """The accelerator's model, for provenance; None on a CPU, whose model `ran_with` knows."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else None


def let_go(device: torch.device) -> None:
    """Give back the memory of a device that nothing uses any more: torch keeps it, and what is free then looks little.

    Other libraries allocate there too, and what fits is told by what is free.
    """
    if device.type == "cuda":
        gc.collect()  # a network that is compiled, or whose forward is another, refers to itself
        torch.cuda.empty_cache()


def set_numerics(config: RunConfig) -> None:
    """Threads and kernels as the plan says: every step that computes calls this first.

    Each is set both ways, since a process may run the steps of several plans. `deterministic` on CUDA: only kernels
    that give the same bytes each time, and float32 that is float32. Without it: the fastest kernels, found by trying
    them, and products and convolutions of float32 rounded to TF32. What is measured computes as with it in either case,
    see `measures.exact`. On a CPU nothing of it changes anything.
    """
    torch.set_num_threads(config.threads)
    on_cuda = torch.cuda.is_available()
    same_bytes, fastest = config.deterministic and on_cuda, on_cuda and not config.deterministic
    # also for a plan that does not ask for it: torch reads it once in a process, which the next plan may be run in
    if on_cuda and os.environ.get("CUBLAS_WORKSPACE_CONFIG") not in _SAME_BYTES:
        os.environ["CUBLAS_WORKSPACE_CONFIG"] = _SAME_BYTES[0]
    torch.use_deterministic_algorithms(same_bytes)
    # it would also fill every new tensor with NaN, which takes time and changes nothing
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.deterministic = same_bytes
    torch.backends.cudnn.benchmark = fastest
    torch.backends.cudnn.allow_tf32 = fastest
    torch.backends.cuda.matmul.allow_tf32 = fastest


_SAME_BYTES: Final = (":4096:8", ":16:8")
"""Workspaces with which cuBLAS gives the same bytes: NVIDIA, cuBLAS, results reproducibility."""

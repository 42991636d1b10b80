"""Where arithmetic happens, and how it is made to give the same bytes each time."""

import os

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


def set_numerics(config: RunConfig) -> None:
    """Threads and kernels as the plan says: every step that computes calls this first."""
    torch.set_num_threads(config.threads)
    if config.deterministic and torch.cuda.is_available():
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
        torch.backends.cudnn.benchmark = False
        # it would also fill every new tensor with NaN, which takes time and changes nothing
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]

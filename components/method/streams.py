"""Random streams: each is a function of what it is for, never of history or of how work was split.

torch's CPU generator is a Mersenne Twister of 19,937 bits, and `manual_seed` fills it from 32 of a seed's 64: of
65,536 streams two are the same in 39 % of cases. So its whole state is written here, from SHAKE-256 of the purpose.
CUDA's and MPS' generators keep all 64 bits (Philox), of which 63 are given.
"""

import hashlib
from functools import cache
from typing import Final

import numpy as np
import torch
from torch import Tensor

_WORDS: Final = 624
_STATE: Final = np.dtype(
    [("seed", "<u8"), ("left", "<i4"), ("seeded", "<i4"), ("next", "<u8"), ("words", "<u8", _WORDS)]
)
"""The first part of what `torch.Generator.get_state` returns; cached normal draws follow."""


def key_of(purpose: str, *numbers: int) -> int:
    """64 bits, a function of the arguments only."""
    return int.from_bytes(hashlib.sha256(_key(purpose, numbers)).digest()[:8], "little")


def seed_of(purpose: str, *numbers: int) -> int:
    """63 bits, a function of the arguments only."""
    return key_of(purpose, *numbers) >> 1


def generator_of(purpose: str, *numbers: int) -> torch.Generator:
    """A CPU generator that begins a stream, a function of the arguments only."""
    generator = torch.Generator("cpu")
    generator.set_state(_state(_key(purpose, numbers)))
    return generator


def begin_default(device: torch.device, purpose: str, *numbers: int) -> None:
    """Begin a stream in the default generator of a device, a function of the arguments and the kind of device."""
    if device.type == "cpu":
        torch.default_generator.set_state(_state(_key(purpose, numbers)))
    else:
        torch.manual_seed(seed_of(purpose, *numbers))


def _key(purpose: str, numbers: tuple[int, ...]) -> bytes:
    return " ".join([purpose, *map(str, numbers)]).encode()


def _state(key: bytes) -> Tensor:
    """A state of the CPU generator, uint8: as after seeding, with words that all come from the key."""
    words = np.frombuffer(hashlib.shake_256(key).digest(4 * _WORDS), "<u4").astype("<u8")
    words[0] |= 0x80000000  # so that the state is never all zero, as in the reference's init_by_array
    state = _seeded().clone()
    state.numpy()[: _STATE.itemsize].view(_STATE)["words"] = words
    return state


@cache
def _seeded() -> Tensor:
    """The state of a generator seeded with 1.

    Raises:
        RuntimeError: it is not laid out as this file expects: 1812433254 follows 1 in the reference (Matsumoto and
            Nishimura, 1998).
    """
    state = torch.Generator("cpu").manual_seed(1).get_state()
    head = state.numpy()[: _STATE.itemsize].view(_STATE)[0]
    if (head["left"], head["seeded"], head["next"], *head["words"][:2]) != (1, 1, 0, 1, 1812433254):
        raise RuntimeError(f"torch {torch.__version__} keeps the state of its CPU generator in another form")
    return state

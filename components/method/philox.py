"""Random numbers by counting: each is a function of a key and of its place, on every device the same.

Philox4x32-10 of Salmon, Moraes, Dror and Shaw, Parallel random numbers: as easy as 1, 2, 3 (SC 2011).
"""

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

_ROUNDS: Final = 10
_MULTIPLIERS: Final = (0xD2511F53, 0xCD9E8D57)
_WEYL: Final = (0x9E3779B9, 0xBB67AE85)
"""What the key's words grow by from round to round."""
_MASK: Final = 0xFFFFFFFF
_WORDS: Final = 4
"""Of 32 bits in a block; a block gives as many normal values."""


def round_keys(key: int) -> Tensor:
    """The key's two words in each round, int64 [10, 2].

    Args:
        key: 64 bits, its low word first.
    """
    words = (key & _MASK, key >> 32)
    return torch.tensor(
        [[(word + number * step) & _MASK for word, step in zip(words, _WEYL, strict=True)] for number in range(_ROUNDS)]
    )


def philox(keys: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Blocks of four words of 32 bits: Philox4x32-10 of 128-bit counters.

    Words are kept in int64, whose products wrap: their low 64 bits are those of the unsigned product.

    Args:
        keys: of `round_keys`, on the device.
        low, high: halves of the counters as two's complement, int64, of shapes that broadcast to [...].

    Returns:
        int64 [4, ...], each in 0 to 2^32 - 1.
    """
    low, high = low + torch.zeros_like(high), high + torch.zeros_like(low)
    dims = (1,) * low.ndim
    even = torch.stack([low & _MASK, high & _MASK])  # words 0 and 2, which are multiplied
    odd = torch.stack([(low >> 32) & _MASK, (high >> 32) & _MASK])  # words 1 and 3
    multipliers = torch.stack([torch.full((), m, dtype=torch.int64, device=low.device) for m in _MULTIPLIERS])
    for key in keys:
        product = even * multipliers.view(2, *dims)
        even = ((product >> 32) & _MASK).flip(0) ^ odd ^ key.view(2, *dims)
        odd = (product & _MASK).flip(0)
    return torch.stack([even[0], odd[0], even[1], odd[1]])


def normals(words: Tensor) -> Tensor:
    """Standard normal values of random words: Box and Muller (1958), in float64, rounded to float32.

    The words are the same on every device. Logarithm, sine and cosine may differ in the last bit of a float64, which
    decides the rounding of some one value in 10^8.

    Args:
        words: int64 [4, ...].

    Returns:
        float32 [..., 4].
    """
    first, second = words[0::2].double(), words[1::2].double()
    radius = torch.sqrt(-2.0 * torch.log((first + 1) * 2.0**-32))  # of (0, 1]: never the logarithm of 0
    angle = second * (2.0 * torch.pi * 2.0**-32)
    values = torch.stack([radius * torch.cos(angle), radius * torch.sin(angle)], dim=1)  # [2, 2, ...]
    return values.flatten(0, 1).movedim(0, -1).float()


class NormalStreams:
    """Streams of standard normal values, one a number; each is a function of the key and its number alone."""

    def __init__(self, key: int, numbers: Sequence[int]) -> None:
        """
        Args:
            key: 64 bits.
            numbers: of the streams, below 2^63.
        """
        self._keys, self._numbers = round_keys(key), torch.tensor(list(numbers), dtype=torch.int64)
        self._block = 0

    def draw(self, count: int, device: torch.device, streams: int | None = None) -> Tensor:
        """The next values of each stream, float32 [streams, count]. Each draw begins with a block of its own.

        Args:
            streams: so many of the first ones; None for all. All go on alike.
        """
        where = torch.device("cpu") if device.type == "mps" else device  # which has no float64
        if self._keys.device != where:
            self._keys, self._numbers = (tensor.to(where, non_blocking=True) for tensor in (self._keys, self._numbers))
        blocks = -(-count // _WORDS)
        places = torch.arange(self._block, self._block + blocks, device=where)
        self._block += blocks
        words = philox(self._keys, places, self._numbers[:streams, None])
        return normals(words).flatten(1)[:, :count].to(device)

"""Products of images, exact: whole numbers in, whole numbers out, the same on every device.

Pixels are centred to -128..127, which is eight bits with a sign. Where the device multiplies these (CUDA; a CPU with
VNNI) sums are kept in 32 bits: a product is at most 2^14, so that 65,536 of them fit, and wider images are cut into
spans. Elsewhere float32 does it: a sum over 1024 products is a whole number of at most 2^24, which float32 holds
exactly in whatever order it is summed.
"""

from functools import lru_cache
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

_SPAN, _FLOAT_SPAN = 1 << 16, 1 << 10
_LEAST_ROWS: Final = 32
_EIGHT: Final = 8
"""On CUDA: torch._int_mm takes more than 16 rows, and widths and columns that are multiples of 8."""
_WIDEST: Final = (2**31 - 1) // (3 << 14)


def centred(images: Tensor) -> Tensor:
    """uint8 [n, ...] to int8 [n, D] around 0: smaller products, the same distances."""
    return (images.flatten(1) ^ 128).view(torch.int8)


def squares(images: Tensor) -> Tensor:
    """|x|^2 of int8 [n, D], of the type that `whole` gives."""
    total = torch.zeros(len(images), dtype=whole(images.shape[1]), device=images.device)
    for left in range(0, images.shape[1], _FLOAT_SPAN):
        total += images[:, left : left + _FLOAT_SPAN].float().square_().sum(dim=1).to(total.dtype)
    return total


def whole(width: int) -> torch.dtype:
    """What holds |x|^2 - 2 x . y for images of so many values, whatever they are."""
    return torch.int32 if width <= _WIDEST else torch.int64


class Products:
    """Products of blocks, in memory of its own: to ask for new memory each time would take longer than to multiply."""

    def __init__(self, m: int, n: int, width: int, rooms: int, device: torch.device) -> None:
        """
        Args:
            m, n: rows of the largest blocks.
            rooms: products that are held at once.
        """
        self._int8 = _has_int8(device)
        size = max(m, _LEAST_ROWS) * (n + -n % _EIGHT)
        self._rooms = [torch.empty(size, dtype=whole(width), device=device) for _ in range(rooms)]
        span = min(width, _FLOAT_SPAN)
        self._floats = [torch.empty(0 if self._int8 else some, device=device) for some in (m * span, n * span, m * n)]

    def __call__(self, a: Tensor, b: Tensor, room: int) -> Tensor:
        """
        Args:
            a, b: int8 [m, D] and [n, D].
            room: whose earlier product is overwritten.

        Returns:
            [m, n], of the type that `whole` gives.
        """
        m, n = len(a), len(b)
        if self._int8 and a.shape[1] <= _SPAN and self._rooms[room].dtype == torch.int32:
            return _int_mm(a, b, self._rooms[room])
        found = _shaped(self._rooms[room], m, n)
        span = _SPAN if self._int8 else _FLOAT_SPAN
        for left in range(0, a.shape[1], span):
            some = slice(left, left + span)
            product = _int_mm(a[:, some], b[:, some]) if self._int8 else self._by_float32(a[:, some], b[:, some])
            if left:
                found += product.to(found.dtype)
            else:
                found.copy_(product)
        return found

    def _by_float32(self, a: Tensor, b: Tensor) -> Tensor:
        one, other = (_shaped(room, *of.shape).copy_(of) for room, of in zip(self._floats, (a, b), strict=False))
        return torch.mm(one, other.T, out=_shaped(self._floats[2], len(a), len(b)))


def _int_mm(a: Tensor, b: Tensor, room: Tensor | None = None) -> Tensor:
    """int32 [m, n]; what is too few for the kernel is filled up with zeros, which add nothing."""
    m, n, width = len(a), len(b), -a.shape[1] % _EIGHT
    if width or m < _LEAST_ROWS:
        a = F.pad(a, (0, width, 0, max(0, _LEAST_ROWS - m)))
    if width or n % _EIGHT:
        b = F.pad(b, (0, width, 0, -n % _EIGHT))
    out = None if room is None else _shaped(room, len(a), len(b))
    return torch._int_mm(a, b.T, out=out)[:m, :n]


def _shaped(room: Tensor, m: int, n: int) -> Tensor:
    return room[: m * n].view(m, n)


@lru_cache
def _has_int8(device: torch.device) -> bool:
    """Whether the device multiplies eight bits by itself, and exactly.

    An x86 CPU without VNNI adds pairs of products in 16 bits, which the largest ones leave: it is not asked, and who
    says that it has VNNI is tried with these.
    """
    if device.type == "cpu" and not torch.cpu._is_vnni_supported():
        return False
    pairs = torch.tensor([[-128, -128], [127, 127], [-128, 127], [127, -128]], dtype=torch.int8, device=device)
    a = b = pairs.repeat(_LEAST_ROWS, 32)
    try:
        return torch.equal(torch._int_mm(a, b.T).double(), a.double() @ b.double().T)
    except RuntimeError:  # a GPU that is too old
        return False

"""The weighted average of proxies, tensor by tensor: sum over k of (n_k / N) * w_k."""

import json
import math
import struct
from collections.abc import Sequence
from typing import Any, Final, Protocol

import torch

from ..failure import Fatal

_DTYPES: Final = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


class Reader(Protocol):
    """A safetensors file, read from its first byte to its last.

    Attributes:
        address: where it is, for messages.
    """

    @property
    def address(self) -> str: ...

    def read(self, count: int) -> memoryview:
        """The next `count` bytes, valid until the next call."""

    def finish(self) -> None:
        """Check the digest of all; raises `Fatal` where the file is altered."""


def average(proxies: Sequence[Reader], samples: Sequence[int]) -> bytearray:
    """Average safetensors files that hold the same tensors (IET, arXiv 2407.15328).

    They are read side by side: in memory are the result, and of each proxy what its reader reads ahead. Sums are in
    float64 and start from their first term; the result is in the tensors' own dtype. Digests are checked before it is
    returned.

    Args:
        proxies: one file a proxy, all of the same layout.
        samples: n_k of each.

    Returns:
        A safetensors file with the header of the first.

    Raises:
        Fatal: a file is truncated or altered, or tensors differ in name, shape or dtype; names it.
    """
    headers = [_read_header(proxy) for proxy in proxies]
    first = proxies[0].address
    for header, proxy in zip(headers[1:], proxies[1:], strict=True):
        if difference := _difference(_tensors(headers[0]), _tensors(header)):
            raise Fatal(f"{proxy.address}: {difference} in {first}")
    result = bytearray(headers[0])
    total = sum(samples)
    for name, entry in _tensors(headers[0]):
        dtype, (begin, end) = _DTYPES.get(entry["dtype"]), entry["data_offsets"]
        if dtype is None or math.prod(entry["shape"]) * dtype.itemsize != end - begin:
            raise Fatal(f"{first}: {name}: a tensor of dtype {entry['dtype']} cannot be averaged")
        result += _average_one([proxy.read(end - begin) for proxy in proxies], [n / total for n in samples], dtype)
    for proxy in proxies:
        proxy.finish()
    return result


def _average_one(parts: Sequence[memoryview], weights: Sequence[float], dtype: torch.dtype) -> memoryview:
    if not len(parts[0]):
        return parts[0]
    total: torch.Tensor | None = None
    for part, weight in zip(parts, weights, strict=True):
        term = torch.frombuffer(part, dtype=dtype).to(torch.float64) * weight
        total = term if total is None else total.add_(term)
    assert total is not None
    return memoryview(total.to(dtype).view(torch.uint8).numpy().data)


def _read_header(reader: Reader) -> bytes:
    """The safetensors header as it stands: 8 bytes of length, then JSON."""
    length = bytes(reader.read(8))
    (size,) = struct.unpack("<Q", length)
    if size > 100 << 20:
        raise Fatal(f"{reader.address}: not a safetensors file")
    header = length + bytes(reader.read(size))
    try:
        _tensors(header)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Fatal(f"{reader.address}: not a safetensors file") from None
    return header


def _tensors(header: bytes) -> list[tuple[str, dict[str, Any]]]:
    """Names and entries of the tensors, in the order of their bytes."""
    entries = {name: entry for name, entry in json.loads(header[8:]).items() if name != "__metadata__"}
    return sorted(entries.items(), key=lambda item: item[1]["data_offsets"])


def _difference(first: list[tuple[str, dict[str, Any]]], other: list[tuple[str, dict[str, Any]]]) -> str | None:
    """What the other has that the first has not, as the middle of a sentence, or None."""
    expected = dict(first)
    for name, entry in other:
        if name not in expected:
            return f"{name} is not a tensor"
        for field in ("shape", "dtype"):
            if entry[field] != expected[name][field]:
                return f"{name} has {field} {entry[field]}, it has {expected[name][field]}"
    if missing := expected.keys() - dict(other).keys():
        return f"lacks {min(missing)}, a tensor"
    return None if first == other else "orders its tensors otherwise than they stand"

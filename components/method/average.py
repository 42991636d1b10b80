"""The weighted average of proxies, tensor by tensor: sum over k of (n_k / N) * w_k."""

import json
import math
import struct
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from itertools import groupby
from typing import Any, Final, Protocol, TypeVar

import torch

from ..failure import Fatal

T = TypeVar("T")
_THREADS: Final = 16
"""At most so many read, each its own files."""
_AHEAD: Final = 2
"""Reads of a thread that are under way or wait to be summed."""
_AHEAD_BYTES: Final = 32 << 20
"""Most that all of them hold, and half of a model at most."""
_LEAST_READ: Final = 16 << 10
_MOST_READ: Final = 2 << 20
"""Bytes of a read; in float64 sums take several times as many."""
_DTYPES: Final = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


class Reader(Protocol):
    """A safetensors file, read from its first byte to its last.

    Attributes:
        address: where it is, for messages.
    """

    @property
    def address(self) -> str: ...

    def read(self, count: int) -> memoryview:
        """The next `count` bytes; they stay as they are."""

    def finish(self) -> None:
        """Check the digest of all; raises `Fatal` where the file is altered."""


def average(proxies: Sequence[Reader], samples: Sequence[int]) -> bytearray:
    """Average safetensors files that hold the same tensors (IET, arXiv 2407.15328).

    They are read side by side, a bounded number of reads ahead of the sums: in memory are the result, and half a model
    at most. Sums are in float64 and start from their first term, that of the first proxy; the result is in the tensors'
    own dtype. Digests are checked before it is returned.

    Args:
        proxies: one file a proxy, all of the same layout.
        samples: n_k of each.

    Returns:
        A safetensors file with the header of the first.

    Raises:
        Fatal: a file is truncated or altered, or tensors differ in name, shape or dtype; names it.
    """
    with closing(_SideBySide(proxies)) as files:
        headers = files.each(_read_header)
        first = proxies[0].address
        for header, proxy in zip(headers[1:], proxies[1:], strict=True):
            if difference := _difference(_tensors(headers[0]), _tensors(header)):
                raise Fatal(f"{proxy.address}: {difference} in {first}")
        pieces = _pieces(_tensors(headers[0]), first, files.reads_ahead)
        total = sum(samples)
        weights, result = [n / total for n in samples], bytearray(headers[0])
        parts = files.read(size for size, _ in pieces)
        for _, dtype in pieces:
            result += _average_one(parts, weights, dtype)
        files.each(lambda proxy: proxy.finish())
    return result


def _average_one(parts: Iterator[memoryview], weights: Sequence[float], dtype: torch.dtype) -> memoryview:
    """Of the next part of each proxy."""
    total: torch.Tensor | None = None
    for weight in weights:
        term = torch.frombuffer(next(parts), dtype=dtype).to(torch.float64) * weight
        total = term if total is None else total.add_(term)
    assert total is not None
    return memoryview(total.to(dtype).view(torch.uint8).numpy().data)


def _pieces(
    tensors: Sequence[tuple[str, dict[str, Any]]], address: str, reads_ahead: int
) -> list[tuple[int, torch.dtype]]:
    """How the tensors are read and summed, in the order of their bytes: sizes and dtypes, whatever tensors they are of.

    Args:
        reads_ahead: how many of them are in memory.

    Raises:
        Fatal: a tensor has a dtype that cannot be averaged; names it.
    """
    sizes = list[tuple[int, torch.dtype]]()
    for name, entry in tensors:
        dtype, (begin, end) = _DTYPES.get(entry["dtype"]), entry["data_offsets"]
        if dtype is None or math.prod(entry["shape"]) * dtype.itemsize != end - begin:
            raise Fatal(f"{address}: {name}: a tensor of dtype {entry['dtype']} cannot be averaged")
        sizes.append((end - begin, dtype))
    held = min(_AHEAD_BYTES, sum(size for size, _ in sizes) // 2)
    most = min(_MOST_READ, max(_LEAST_READ, held // reads_ahead // 8 * 8))  # whole numbers of any dtype
    pieces = list[tuple[int, torch.dtype]]()
    for dtype, some in groupby(sizes, lambda one: one[1]):
        end = sum(size for size, _ in some)
        pieces += [(min(most, end - start), dtype) for start in range(0, end, most)]
    return pieces


class _SideBySide:
    """Files that are read by threads, each file by one of them, so that it is read from its first byte to its last."""

    def __init__(self, files: Sequence[Reader]) -> None:
        self._files = files
        self._threads = [ThreadPoolExecutor(1) for _ in range(min(_THREADS, len(files)))]

    @property
    def reads_ahead(self) -> int:
        """How many parts are read, or wait, at once."""
        return _AHEAD * len(self._threads)

    def each(self, work: Callable[[Reader], T]) -> list[T]:
        """Of every file, in their order; raises what the first in this order raises."""
        return [future.result() for future in [self._start(number, work) for number in range(len(self._files))]]

    def read(self, sizes: Iterable[int]) -> Iterator[memoryview]:
        """For each size the next bytes of every file, file after file."""
        under_way = deque[Future[memoryview]]()
        for size in sizes:
            for number in range(len(self._files)):
                if len(under_way) >= self.reads_ahead:
                    yield under_way.popleft().result()
                under_way.append(self._start(number, lambda file, size=size: file.read(size)))  # type: ignore[misc]
        while under_way:
            yield under_way.popleft().result()

    def close(self) -> None:
        for thread in self._threads:
            thread.shutdown(cancel_futures=True)

    def _start(self, number: int, work: Callable[[Reader], T]) -> Future[T]:
        return self._threads[number % len(self._threads)].submit(work, self._files[number])


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

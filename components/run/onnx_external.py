"""ONNX models whose weights lie in files beside them, as one piece of bytes.

Only Protocol Buffers' wire format and a few field numbers of onnx.proto3 are needed, so neither the package onnx nor
a copy on disk is: a model in a bucket is read like one in a directory.
"""

import posixpath
from collections.abc import Callable, Iterator

from ..failure import Fatal

_NESTED = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
"""Messages that hold tensors, by message and field number."""
_RAW_DATA, _EXTERNAL_DATA, _DATA_LOCATION = 9, 13, 14
_VARINT, _LENGTH = 0, 2
_FIXED = {1: 8, 5: 4}
_MOST = 2**31 - 1
"""Bytes that a message of Protocol Buffers can have."""


def with_external_data(model: bytes, read: Callable[[str], bytes | None]) -> bytes:
    """The model with the weights of other files in it; the same bytes where there are none, or where it is no model.

    Args:
        read: gives a file by its path relative to the model, None where there is none.

    Raises:
        Fatal: such a file is missing, too short or lies elsewhere; says so without the model's name.
    """
    files: dict[str, bytes] = {}

    def file(location: str) -> bytes:
        if location not in files:
            if location.startswith("/") or ".." in location.split("/"):
                raise Fatal(f"its weights are in '{location}', which is not beside it: save it as one file")
            found = read(posixpath.normpath(location))
            if found is None:
                raise Fatal(f"its weights are in '{location}' beside it, and there is no such file: copy it there too")
            files[location] = found
        return files[location]

    try:
        whole = _filled(memoryview(model), "model", file)
    except _NoMessage:
        return model
    if not files:
        return model
    if len(whole) > _MOST:
        raise Fatal(f"with its weights it has {len(whole):,} bytes, more than an ONNX file can have")
    return whole


class _NoMessage(Exception):
    """The bytes are no message of Protocol Buffers."""


def _filled(message: memoryview, kind: str, file: Callable[[str], bytes]) -> bytes:
    if kind == "tensor":
        return _filled_tensor(message, file)
    nested, parts = _NESTED[kind], []
    for number, wire, whole, payload in _fields(message):
        if wire == _LENGTH and number in nested:
            inner = _filled(payload, nested[number], file)
            parts += [_varint(number << 3 | _LENGTH), _varint(len(inner)), inner]
        else:
            parts.append(bytes(whole))
    return b"".join(parts)


def _filled_tensor(tensor: memoryview, file: Callable[[str], bytes]) -> bytes:
    kept, entries, external = [], dict[str, str](), False
    for number, wire, whole, payload in _fields(tensor):
        if number == _EXTERNAL_DATA and wire == _LENGTH:
            pair = {n: bytes(value).decode("utf-8", "replace") for n, w, _, value in _fields(payload) if w == _LENGTH}
            entries[pair.get(1, "")] = pair.get(2, "")
        elif number == _DATA_LOCATION and wire == _VARINT:
            external = bytes(payload) == b"\1"
        else:
            kept.append(bytes(whole))
    if not external:
        return bytes(tensor)
    data = file(entries.get("location", ""))
    try:
        start = int(entries.get("offset") or 0)
        stop = start + int(entries.get("length") or len(data) - start)
    except ValueError:
        raise _NoMessage from None
    if not 0 <= start <= stop <= len(data):
        location = entries.get("location", "")
        raise Fatal(
            f"its weights are in '{location}', which has {len(data)} bytes where {stop} are needed: copy it anew"
        )
    return b"".join([*kept, _varint(_RAW_DATA << 3 | _LENGTH), _varint(stop - start), data[start:stop]])


def _fields(message: memoryview) -> Iterator[tuple[int, int, memoryview, memoryview]]:
    """Number, wire type, the whole field and its value, of each field."""
    place = 0
    while place < len(message):
        tag, start = _read_varint(message, place)
        wire = tag & 7
        if wire == _VARINT:
            _, stop = _read_varint(message, start)
        elif wire == _LENGTH:
            size, start = _read_varint(message, start)
            stop = start + size
        elif wire in _FIXED:
            stop = start + _FIXED[wire]
        else:
            raise _NoMessage
        if stop > len(message) or not tag >> 3:
            raise _NoMessage
        yield tag >> 3, wire, message[place:stop], message[start:stop]
        place = stop


def _read_varint(message: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while place < len(message) and shift < 64:
        byte = message[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place
    raise _NoMessage


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])

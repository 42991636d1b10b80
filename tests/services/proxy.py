"""A proxy on loopback that stands before an HTTP server and does harm on purpose.

It passes requests on byte by byte, `Host` included, so that signatures made for the proxy's address hold.
"""

import asyncio
import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Request:
    """What a client asked for: headers with lower-case names."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Fault:
    """What goes wrong with a request.

    Attributes:
        delay_s: before anything is done.
        answer: (status, S3's code): given instead of the server's answer.
        reaches: whether the server gets the request (its answer may still be lost).
        cut_at: the connection is reset after so many bytes of the answer's body (-1: before its head).
        flip: offset in the answer's body of a byte that is changed.
        without: a header that the server does not get to see.
    """

    delay_s: float = 0
    answer: tuple[int, str] | None = None
    reaches: bool = True
    cut_at: int | None = None
    flip: int | None = None
    without: str | None = None


When = Callable[[Request], bool]
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Proxy:
    """Runs in a thread; a context manager.

    Attributes:
        endpoint: its own address.
        requests: all that it has seen.
        most_at_once: how many of them were under way together.
    """

    def __init__(self, upstream: str, tls: ssl.SSLContext | None = None) -> None:
        """
        Args:
            upstream: http://host:port.
            tls: makes the proxy speak https.
        """
        self._host, self._port = urlsplit(upstream).hostname or "", urlsplit(upstream).port or 80
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"{'https' if tls else 'http'}://127.0.0.1:{self._listener.getsockname()[1]}"
        self.requests: list[Request] = []
        self.most_at_once = self._at_once = 0
        self._faults: list[_Injected] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set_result, None)
        self._thread.join()

    def inject(self, fault: Fault, when: When | str = lambda _: True, times: int = 1_000_000) -> None:
        """Do harm to the next `times` requests of a kind (a method's name, or a predicate)."""
        self._faults.append(_Injected(fault, _predicate(when), times))

    def heal(self) -> None:
        """From now on all goes well."""
        self._faults.clear()

    def count(self, when: When | str) -> int:
        """How many requests of a kind it has seen."""
        matches = _predicate(when)
        return sum(matches(request) for request in list(self.requests))

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._stopped = self._loop.create_future()
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._client, sock=self._listener, ssl=self._tls)
        await self._stopped
        server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server: Streams | None = None
        # else small answers wait for the client's acknowledgement, some 25 ms a request
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            while head := await _head(reader):
                request, raw = await _request(head, reader)
                self.requests.append(request)
                self._at_once += 1
                self.most_at_once = max(self.most_at_once, self._at_once)
                try:
                    server = await self._pass(request, raw, writer, server)
                finally:
                    self._at_once -= 1
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            if connection := writer.transport.get_extra_info("socket"):
                with contextlib.suppress(OSError):  # close with a reset
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        finally:
            writer.close()
            if server:
                server[1].close()

    async def _pass(
        self, request: Request, raw: bytes, writer: asyncio.StreamWriter, server: Streams | None
    ) -> Streams | None:
        """Pass one request on and its answer back; returns the connection to the server."""
        fault = self._fault(request)
        await asyncio.sleep(fault.delay_s)
        head = body = b""
        if fault.reaches:
            server = server or await asyncio.open_connection(self._host, self._port, limit=1 << 20)
            server[1].write(_without(fault.without, raw) if fault.without else raw)
            head, body = await _answer(request, server[0])
        if fault.answer:
            head, body = _made_up(*fault.answer)
        if fault.flip is not None and fault.flip < len(body):
            body = body[: fault.flip] + bytes([body[fault.flip] ^ 1]) + body[fault.flip + 1 :]
        if fault.cut_at is not None:
            if fault.cut_at >= 0:
                writer.write(head + body[: fault.cut_at])
                await writer.drain()
            raise ConnectionResetError
        writer.write(head)
        if request.method != "HEAD":
            writer.write(body)
        await writer.drain()
        return server

    def _fault(self, request: Request) -> Fault:
        for injected in self._faults:
            if injected.left and injected.matches(request):
                injected.left -= 1
                return injected.fault
        return Fault()


@dataclass
class _Injected:
    fault: Fault
    matches: When
    left: int


def _predicate(when: When | str) -> When:
    return when if callable(when) else lambda request: request.method == when


async def _head(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""


def _headers(head: bytes) -> dict[str, str]:
    lines = head.decode("latin-1").split("\r\n")[1:]
    return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines) if name}


async def _request(head: bytes, reader: asyncio.StreamReader) -> tuple[Request, bytes]:
    method, path, _ = head.decode("latin-1").split("\r\n", 1)[0].split(" ")
    headers = _headers(head)
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Request(method, path, headers, body), head + body


def _without(name: str, raw: bytes) -> bytes:
    head, mark, body = raw.partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(name.lower().encode() + b":")]
    return b"\r\n".join(lines) + mark + body


async def _answer(request: Request, reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    headers = _headers(head)
    if request.method == "HEAD" or head.split(b" ", 2)[1] in (b"204", b"304"):
        return head, b""
    if headers.get("transfer-encoding") == "chunked":
        body = b""
        while True:
            line = await reader.readuntil(b"\r\n")
            body += line + await reader.readexactly(int(line, 16) + 2)
            if int(line, 16) == 0:
                return head, body
    return head, await reader.readexactly(int(headers.get("content-length", 0)))


def _made_up(status: int, code: str) -> tuple[bytes, bytes]:
    body = f"<Error><Code>{code}</Code><Message>made up</Message></Error>".encode()
    head = f"HTTP/1.1 {status} Fault\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    return head, body

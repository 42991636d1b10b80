"""A bucket: its connections, and requests to it that are tried again."""

import base64
import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from mimetypes import guess_type
from threading import Event
from types import MappingProxyType
from typing import TypeVar

from minio import Minio
from urllib3.response import BaseHTTPResponse

from ...failure import Fatal
from ..base import Buffer
from . import credentials
from .connection import Connection, Retry
from .endpoint import Endpoint
from .refusal import Refusal

T = TypeVar("T")
_NONE: Mapping[str, str] = MappingProxyType({})


class UploadLost(Exception):
    """The server does not know a multipart upload: an earlier try ended it, or it was swept away."""


class Bucket:
    """Objects below a prefix of a bucket, request by request. Threads may share it; a forked process opens its own.

    Attributes:
        url: s3://bucket/prefix.
        endpoint: the server.
    """

    def __init__(self, name: str, prefix: str) -> None:
        self._name, self._prefix = name, f"{prefix}/" if prefix else ""
        self.url = f"s3://{name}/{prefix}" if prefix else f"s3://{name}"
        self.endpoint = Endpoint.from_environment()
        self._open()

    def _open(self) -> None:
        endpoint = self.endpoint
        self._process = os.getpid()
        self._http = Connection(endpoint)
        provider = credentials.from_environment(self._http)
        self._client = Minio(
            endpoint.host,
            secure=endpoint.secure,
            region=endpoint.region,
            http_client=self._http,
            credentials=provider,
        )
        if endpoint.addressing == "virtual":
            self._client.enable_virtual_style_endpoint()
        elif endpoint.addressing == "path":
            self._client.disable_virtual_style_endpoint()
        self._threads = ThreadPoolExecutor(endpoint.connections, thread_name_prefix="s3")
        self._retry = Retry(endpoint, f"s3://{self._name}", provider.source)

    def _open_if_forked(self) -> None:
        if self._process != os.getpid():  # connections and threads are the parent's
            self._open()

    @property
    def client(self) -> Minio:
        """minio's client, whose requests raise `Refusal`; for use inside `attempt`."""
        return self._client

    @property
    def name(self) -> str:
        return self._name

    def object_name(self, key: str) -> str:
        """Name in the bucket of the object of a key, to be read. An empty part of it is a part like any other.

        Raises:
            Fatal: `.` or `..` in the key: HTTP would change them on the way.
        """
        if not {".", ".."}.isdisjoint((self._prefix + key).split("/")):
            raise Fatal(f"{self.address(key)}: a key is a relative path without '.' and '..'")
        return self._prefix + key

    def own_name(self, key: str) -> str:
        """Name in the bucket of an object that is written or removed.

        Raises:
            Fatal: a part of it is empty: servers on a file system would take it for another key.
        """
        name = self.object_name(key)
        if "" in name.split("/"):
            raise Fatal(f"{self.address(key)}: a key is a relative path without empty parts (//), which are read only")
        return name

    def key(self, object_name: str, listed_for: str = "") -> str:
        """The key of an object below the prefix.

        Raises:
            Fatal: it does not start as it was asked for: the server takes some keys for others.
        """
        if not object_name.startswith(self._prefix + listed_for):
            raise Fatal(
                f"{self.url}: {self.endpoint.url} lists {object_name} there: it takes keys with empty parts (//) for "
                "others, so they cannot be read from it"
            )
        return object_name.removeprefix(self._prefix)

    def address(self, key: str) -> str:
        return f"s3://{self._name}/{self._prefix}{key}"

    def attempt(self, work: Callable[[], T], action: str, key: str, abandoned: Event | None = None) -> T:
        """What `work` returns, tried again as `Retry` says.

        Args:
            action: S3's name of what is done, such as GetObject.
            abandoned: set when the result is not wanted any more.
        """
        self._open_if_forked()
        return self._retry(work, action, self.address(key), abandoned)

    @contextmanager
    def answer(self, key: str, offset: int = 0, length: int = 0) -> Iterator[BaseHTTPResponse]:
        """The answer to a GET, its body not yet read; of all from `offset` on where `length` is 0. One try."""
        response = self._client.get_object(self._name, self.object_name(key), offset, length)
        try:
            yield response
        finally:
            response.close()  # a connection with an answer half read must not be used again
            response.release_conn()

    def send(
        self,
        method: str,
        key: str,
        data: Buffer,
        query: Mapping[str, str] = _NONE,
        headers: Mapping[str, str] = _NONE,
    ) -> BaseHTTPResponse:
        """A request that minio's own methods cannot express, through a URL that minio signs. One try.

        So the data are sent from where they are, in parts that are tried again one by one, and with
        headers of our choice. The server checks Content-MD5: nothing else guards the data on their way.

        Raises:
            UploadLost: `query` names a multipart upload that is not there.
            Refusal, HTTPError: for `attempt` to judge.
        """
        url = self._client.get_presigned_url(
            method, self._name, self.own_name(key), timedelta(hours=1), extra_query_params=dict(query)
        )
        sent = dict(headers)
        if method == "PUT":
            sent["Content-Type"] = guess_type(key)[0] or "application/octet-stream"
            sent["Content-MD5"] = base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
        try:
            response = self._http.urlopen(method, url, body=data, headers=sent)
        except Refusal as refusal:
            if refusal.code == "NoSuchUpload":
                raise UploadLost from None
            raise
        if b"<Error>" in response.data[:1024]:  # S3 may find out that it fails after it has said 200
            raise Refusal.of(500, response.data, response)
        return response

    def put(
        self, key: str, data: Buffer, query: Mapping[str, str] = _NONE, abandoned: Event | None = None
    ) -> BaseHTTPResponse:
        """PUT, tried again."""
        return self.attempt(partial(self.send, "PUT", key, data, query), "PutObject", key, abandoned)

    def together(self, tasks: Sequence[Callable[[Event], T]], most: int) -> Sequence[T]:
        """Results of all tasks, at most `most` of them at once; the first failure ends all.

        Args:
            tasks: each is told by an event when its result is not wanted any more. None calls `together`.
        """
        self._open_if_forked()
        abandoned = Event()
        if len(tasks) == 1:
            return [tasks[0](abandoned)]
        results: dict[int, T] = {}
        running: dict[Future[T], int] = {}
        waiting = deque(enumerate(tasks))
        try:
            while waiting or running:
                while waiting and len(running) < most:
                    index, task = waiting.popleft()
                    running[self._threads.submit(task, abandoned)] = index
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    results[running.pop(future)] = future.result()
        except BaseException as error:
            abandoned.set()
            for future in running:
                future.cancel()
            if isinstance(error, Exception):  # who wants to leave the program does not wait
                wait(running)
            raise
        return [results[index] for index in range(len(tasks))]

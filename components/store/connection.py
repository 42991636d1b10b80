"""HTTP to an S3 server: bounded connections, no retries of its own, refusals as exceptions, secrets out of the log."""

import logging
from typing import Any

from urllib3 import PoolManager, Timeout
from urllib3.response import BaseHTTPResponse

from unecho.components.store.endpoint import Endpoint
from unecho.components.store.refusal import Refusal, redacted

_CONNECT_TIMEOUT_S = 10
_READ_TIMEOUT_S = 60
"""Between two bytes. SeaweedFS may take 20 s for a key that many write at once, or after its start."""


class Connection(PoolManager):
    """What minio's client and we send requests through."""

    def __init__(self, endpoint: Endpoint) -> None:
        longest = max(1.0, endpoint.patience_s)
        super().__init__(
            maxsize=endpoint.connections,
            block=True,
            timeout=Timeout(connect=min(_CONNECT_TIMEOUT_S, longest), read=min(_READ_TIMEOUT_S, longest)),
            retries=False,
            cert_reqs="CERT_REQUIRED",
            ca_certs=endpoint.ca_bundle,
        )

    def urlopen(  # type: ignore[override]
        self, method: str, url: str, redirect: bool = False, **options: Any
    ) -> BaseHTTPResponse:
        """Send a request.

        Raises:
            Refusal: the answer's status is not 2xx.
        """
        response = super().urlopen(method, url, redirect=redirect, **options)
        if 200 <= response.status < 300:
            return response
        try:
            raise Refusal.parse(response)
        finally:
            response.close()
            response.release_conn()


class _WithoutSecrets(logging.Filter):
    """urllib3 logs the URL of each request at level DEBUG, and what signs it is in the URL."""

    def filter(self, record: logging.LogRecord) -> bool:
        arguments = record.args if isinstance(record.args, tuple) else ()
        record.args = tuple(redacted(value) if isinstance(value, str) else value for value in arguments) or record.args
        return True


for _name in ("urllib3.connectionpool", "urllib3.poolmanager", "urllib3.util.retry"):
    logging.getLogger(_name).addFilter(_WithoutSecrets())

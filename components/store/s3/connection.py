"""HTTP to an S3 server: bounded connections, refusals as exceptions, secrets out of the log, tries with jitter."""

import logging
import random
import re
import ssl
import time
from collections.abc import Callable
from dataclasses import replace
from threading import Event
from typing import Any, TypeVar
from xml.etree.ElementTree import ParseError

from urllib3 import PoolManager, ProxyManager, Timeout
from urllib3.exceptions import (
    HTTPError,
    LocationValueError,
    NameResolutionError,
    NewConnectionError,
    ProxyError,
    SSLError,
)
from urllib3.response import BaseHTTPResponse

from ...failure import Fatal
from ...log import redacted
from .endpoint import Endpoint
from .proxies import Proxy
from .refusal import Refusal, explain, is_transient

_CONNECT_TIMEOUT_S = 10
_READ_TIMEOUT_S = 60
"""Between two bytes. SeaweedFS may take 20 s for a key that many write at once, or after its start."""


class Unsendable(Exception):
    """A request that HTTP's own library refused to send."""


class ProxyRefusal(Exception):
    """A proxy does not let a request through.

    Attributes:
        status: of HTTP.
    """

    def __init__(self, proxy: Proxy, status: int) -> None:
        super().__init__(f"{proxy}: {status}")
        self.proxy, self.status = proxy, status


class Connection(PoolManager):
    """What minio's client and we send requests through, each directly or by way of the proxy for its address."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._through: dict[str, ProxyManager] = {}
        longest = max(1.0, endpoint.patience_s)
        self._settings: dict[str, Any] = {
            "maxsize": endpoint.connections,
            "block": True,
            "timeout": Timeout(connect=min(_CONNECT_TIMEOUT_S, longest), read=min(_READ_TIMEOUT_S, longest)),
            "retries": False,
            "cert_reqs": "CERT_REQUIRED",
            "ca_certs": endpoint.ca_bundle,
        }
        super().__init__(**self._settings)

    def direct(self) -> "Connection":
        """One that asks no proxy."""
        return Connection(replace(self._endpoint, environment={}))

    def urlopen(  # type: ignore[override]
        self, method: str, url: str, redirect: bool = False, **options: Any
    ) -> BaseHTTPResponse:
        """Send a request.

        Raises:
            Refusal: the answer's status is not 2xx.
            ProxyRefusal: a proxy wants to know who we are, or forbids it.
            Unsendable: a header or the address cannot be sent.
        """
        proxy = self._endpoint.proxy(url)
        try:
            if proxy is None:
                response = super().urlopen(method, url, redirect=redirect, **options)
            else:
                response = self._manager(proxy).urlopen(method, url, redirect=redirect, **options)
        except ProxyError as error:
            if proxy and (status := _refused_by_proxy(error)):
                raise ProxyRefusal(proxy, status) from None
            raise
        except (ValueError, TypeError) as error:  # UnicodeError is one; its text and its object hold the header
            refused = type(error).__name__
        else:
            return _accepted(method, response, proxy)
        raise Unsendable(f"a header or the address has a character that cannot be sent ({refused})")

    def _manager(self, proxy: Proxy) -> ProxyManager:
        if proxy.url not in self._through:
            self._through[proxy.url] = ProxyManager(proxy.url, proxy_headers=proxy.headers, **self._settings)
        return self._through[proxy.url]


def _accepted(method: str, response: BaseHTTPResponse, proxy: Proxy | None) -> BaseHTTPResponse:
    if 200 <= response.status < 300:
        return response
    try:
        refusal = Refusal.parse(response)
        is_proxys = refusal.status == 407 or (refusal.status == 403 and not refusal.code and method != "HEAD")
        if proxy and is_proxys:  # a store says why, except to HEAD
            raise ProxyRefusal(proxy, refusal.status)
        raise refusal
    finally:
        response.close()
        response.release_conn()


def _refused_by_proxy(error: ProxyError) -> int | None:
    """The status of a proxy that was reached and does not connect us, where another try cannot help."""
    found = re.search(r"Tunnel connection failed: (4\d\d)", str(error.original_error))
    return int(found[1]) if found and found[1] not in ("408", "429") else None


class _WithoutSecrets(logging.Filter):
    """urllib3 logs the URL of each request at level DEBUG, and what signs it is in the URL."""

    def filter(self, record: logging.LogRecord) -> bool:
        arguments = record.args if isinstance(record.args, tuple) else ()
        record.args = tuple(redacted(value) if isinstance(value, str) else value for value in arguments) or record.args
        return True


for _name in ("urllib3.connectionpool", "urllib3.poolmanager", "urllib3.util.retry"):
    logging.getLogger(_name).addFilter(_WithoutSecrets())


T = TypeVar("T")
_FIRST_DELAY_S, _LONGEST_DELAY_S = 0.1, 8.0
_WARN_EVERY_S = 20.0
_log = logging.getLogger(__name__)


class Unreachable(ConnectionError):
    """The store could not be reached, or did not do its work, for as long as patience lasted."""


class Abandoned(Exception):
    """Another part of the same transfer has failed."""


class Retry:
    """Repeats what may work at another try: after no connection, a cut one, a time-out, a short body, 429, 5xx."""

    def __init__(self, endpoint: Endpoint, bucket: str, credentials: str) -> None:
        """
        Args:
            endpoint: says how long to try, from the first failure to the last try.
            bucket: for messages.
            credentials: where they come from, for messages.
        """
        self._bucket, self._credentials, self._patience_s = bucket, credentials, endpoint.patience_s
        self._proxy = endpoint.proxy()
        self._endpoint = endpoint.url + (f" by way of the proxy {self._proxy}" if self._proxy else "")
        self._check = "AWS_ENDPOINT_URL_S3" + (f", {self._proxy.named_by} and NO_PROXY" if self._proxy else "")

    def __call__(self, attempt: Callable[[], T], action: str, address: str, abandoned: Event | None = None) -> T:
        """What `attempt` returns, as soon as it does.

        Args:
            action, address: S3's name of what is done, and to what.
            abandoned: set when the result is not wanted any more.

        Raises:
            Fatal: another try cannot help.
            Unreachable: patience is at its end.
            Abandoned: `abandoned` was set.
        """
        abandoned = abandoned or Event()
        number, failed_at, warned_at = 0, None, 0.0
        while not abandoned.is_set():
            try:
                return attempt()
            except (Refusal, ProxyRefusal, Unsendable, HTTPError, OSError, ParseError) as error:
                if hopeless := self._hopeless(error, action, address):
                    raise hopeless from None
                now = time.monotonic()
                failed_at = now if failed_at is None else failed_at
                tried_s, reason = now - failed_at, f"s3:{action} {address}: {_in_few_words(error)}"
                state = "fails" if isinstance(error, Refusal) else "out of reach"
            if tried_s >= self._patience_s:
                # SeaweedFS answers 500 to every write when a quota is used up or its disk is full.
                full = " (is the bucket full or read-only?)" if state == "fails" and action == "PutObject" else ""
                raise Unreachable(
                    f"{self._endpoint}: {state}, tried for {tried_s:.0f} s ({reason}): "
                    f"check the server{full}, the network and {self._check}, then start again"
                )
            if tried_s > warned_at + _WARN_EVERY_S:
                warned_at = tried_s
                _log.warning("%s: %s for %.0f s, trying again (%s)", self._endpoint, state, tried_s, reason)
            delay_s = random.uniform(0.3, 1) * min(_LONGEST_DELAY_S, _FIRST_DELAY_S * 2 ** min(number, 10))
            abandoned.wait(min(delay_s, self._patience_s - tried_s))
            number += 1
        raise Abandoned

    def _hopeless(self, error: Exception, action: str, address: str) -> Fatal | None:
        if isinstance(error, Refusal) and not is_transient(error):
            return explain(error, action, address, self._bucket, self._endpoint, self._credentials)
        if isinstance(error, ProxyRefusal):
            reason = f"it answers {error.status}: have it allowed there"
            if error.status == 407:
                name = error.proxy.named_by
                reason = f"it wants a user and a password (407): write {name}=http://USER:PASSWORD@HOST:PORT"
            return Fatal(
                f"{address}: the proxy {error.proxy} does not let the request through: {reason}, or name the server "
                "in NO_PROXY"
            )
        if isinstance(error, Unsendable):
            return Fatal(f"{address}: s3:{action}: {error}: check {self._credentials}")
        if isinstance(error, LocationValueError):
            return Fatal(f"{self._endpoint}: not the address of a server: check AWS_ENDPOINT_URL_S3")
        cause = error.args[0] if isinstance(error, SSLError) and error.args else None
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Fatal(
                f"{self._endpoint}: TLS: the server's certificate is not trusted ({cause.verify_message}): "
                "name the file of its authority in AWS_CA_BUNDLE"
            )
        if isinstance(cause, ssl.SSLError) and cause.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"):
            return Fatal(f"{self._endpoint}: TLS: the server does not speak it: write http:// in the endpoint")
        return None


def _in_few_words(error: Exception) -> str:
    """An error in a few words, without object addresses."""
    if isinstance(error, Refusal):
        return str(error)
    if isinstance(error, NameResolutionError):
        return "its name cannot be resolved"
    if isinstance(error, ProxyError):
        return "no connection to the proxy"
    if isinstance(error, NewConnectionError):
        return "no connection"
    return redacted(" ".join(str(error).split()))[:200] or type(error).__name__

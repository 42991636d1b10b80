"""Where the S3 server is and how to speak to it, from the environment."""

import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Self, cast
from urllib.parse import urlsplit

import certifi

from ...failure import Fatal
from .environment import first_of, value_of
from .proxies import Proxy, proxy_of

_AWS = "https://s3.amazonaws.com"
_YES, _NO = {"1", "true", "yes", "on"}, {"0", "false", "no", "off"}


@dataclass(frozen=True)
class Endpoint:
    """An S3 server.

    Attributes:
        url: scheme://host[:port].
        region: None only at AWS, where the bucket's own is asked for.
        addressing: bucket in the path or in the host name; `auto` is virtual at AWS, path elsewhere.
        ca_bundle: file of the certificate authorities that are trusted.
        patience_s: how long a request that fails is tried again.
        connections: most connections that are open at once.
        environment: where proxies are named.
    """

    url: str
    region: str | None
    addressing: Literal["auto", "path", "virtual"]
    ca_bundle: str
    patience_s: float
    connections: int
    environment: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)

    @property
    def secure(self) -> bool:
        return self.url.startswith("https://")

    @property
    def host(self) -> str:
        """host[:port]."""
        return self.url.partition("://")[2]

    def proxy(self, url: str | None = None) -> Proxy | None:
        """The proxy for an address, here or elsewhere; None where the server is asked directly.

        Raises:
            Fatal: a variable does not name a proxy that can be used.
        """
        return proxy_of(url or self.url, self.environment)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """
        The endpoint is AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL or MINIO_ENDPOINT (with MINIO_SECURE where
        it has no scheme), else AWS. AWS_REGION or AWS_DEFAULT_REGION, AWS_CA_BUNDLE or SSL_CERT_FILE,
        UNECHO_S3_ADDRESSING, UNECHO_S3_PATIENCE_S and UNECHO_S3_CONNECTIONS say the rest.

        Raises:
            Fatal: a value that cannot be used; names the variable.
        """
        url = _url(environment)
        name, region = first_of(environment, "AWS_REGION", "AWS_DEFAULT_REGION")
        if region and not re.fullmatch(r"[A-Za-z0-9_-]+", region):
            raise Fatal(f"{name}: {region!r} is no name of a region")
        at_aws = urlsplit(url).hostname == urlsplit(_AWS).hostname
        addressing = value_of(environment, "UNECHO_S3_ADDRESSING") or "auto"
        if addressing not in ("auto", "path", "virtual"):
            raise Fatal(f"UNECHO_S3_ADDRESSING: {addressing!r}: use auto, path or virtual")
        return cls(
            url=url,
            region=region or (None if at_aws else "us-east-1"),
            addressing=cast(Literal["auto", "path", "virtual"], addressing),
            ca_bundle=_ca_bundle(environment, url),
            patience_s=_number(environment, "UNECHO_S3_PATIENCE_S", 300.0, 0),
            connections=int(_number(environment, "UNECHO_S3_CONNECTIONS", 16, 1)),
            environment=environment,
        )


def _url(environment: Mapping[str, str]) -> str:
    name, url = first_of(environment, "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "MINIO_ENDPOINT")
    if not name:
        return _AWS
    if "://" not in url:
        if name != "MINIO_ENDPOINT":
            raise Fatal(f"{name}: write it with its scheme: https://HOST or http://HOST:PORT")
        url = ("https://" if _flag(environment, "MINIO_SECURE", True) else "http://") + url
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise Fatal(f"{name}: not of the form http(s)://HOST[:PORT]") from None
    if any(letter.isspace() or not letter.isprintable() for letter in url):  # urlsplit drops some of them
        raise Fatal(f"{name}: it has a blank or a line end in it")
    if parts.username is not None or parts.password is not None:  # not echoed: it is a secret
        raise Fatal(f"{name}: it must hold no credentials: use AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    if parts.scheme not in ("http", "https") or not host or parts.path.strip("/") or parts.query or parts.fragment:
        raise Fatal(f"{name}: '{parts.scheme}://{parts.netloc}{parts.path}' is not of the form http(s)://HOST[:PORT]")
    return f"{parts.scheme}://{parts.netloc}"


def _ca_bundle(environment: Mapping[str, str], url: str) -> str:
    name, bundle = first_of(environment, "AWS_CA_BUNDLE", "SSL_CERT_FILE")
    if not name:
        return certifi.where()
    if not url.startswith("https://"):
        return bundle
    if not Path(bundle).is_file():
        raise Fatal(f"{name}: {bundle}: no such file")
    try:
        ssl.create_default_context(cafile=bundle)
    except OSError:  # SSLError is one
        raise Fatal(f"{name}: {bundle}: cannot be read as certificates in PEM form") from None
    return bundle


def _flag(environment: Mapping[str, str], name: str, default: bool) -> bool:
    text = value_of(environment, name).lower()
    if text and text not in _YES | _NO:
        raise Fatal(f"{name}: {text!r}: use true or false")
    return text in _YES if text else default


def _number(environment: Mapping[str, str], name: str, default: float, least: float) -> float:
    text = value_of(environment, name)
    try:
        value = float(text) if text else default
    except ValueError:
        value = float("nan")
    if not least <= value < float("inf"):
        raise Fatal(f"{name}: {text!r}: use a number of at least {least:g}")
    return value

"""Proxies between this machine and a server, as the environment names them for every program."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from urllib.parse import unquote, urlsplit

from urllib3.util import make_headers

from ...failure import Fatal


@dataclass(frozen=True)
class Proxy:
    """A proxy.

    Attributes:
        url: scheme://host[:port], without the user and the password.
        named_by: the variable or the field that names it, for messages.
        headers: what makes it let us through; a secret.
    """

    url: str
    named_by: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        return f"{self.url} ({self.named_by})"

    @classmethod
    def parse(cls, text: str, named_by: str) -> "Proxy":
        """A proxy as it is written: [http[s]://][USER:PASSWORD@]HOST[:PORT].

        Raises:
            Fatal: it is not of that form; names the variable, and not the value, which may hold a password.
        """
        try:
            parts = urlsplit(text if "://" in text else f"http://{text}")
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port, parts = None, None, urlsplit("")
        if parts.scheme not in ("http", "https") and host:
            raise Fatal(
                f"{named_by}: a proxy of kind {parts.scheme}:// cannot be used: name one of http:// or https://"
            )
        if not host or not host.isascii() or any(letter.isspace() for letter in text):
            raise Fatal(f"{named_by}: not of the form http(s)://[USER:PASSWORD@]HOST[:PORT]")
        name = f"[{host}]" if ":" in host else host
        user = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
        return cls(
            url=f"{parts.scheme}://{name}" + (f":{port}" if port else ""),
            named_by=named_by,
            headers=make_headers(proxy_basic_auth=user) if parts.username is not None else {},
        )


def proxy_of(url: str, environment: Mapping[str, str]) -> Proxy | None:
    """The proxy for a server; None where it is asked directly.

    HTTP_PROXY or HTTPS_PROXY by the server's scheme, else ALL_PROXY; a name in small letters goes first. NO_PROXY has
    hosts (`host` and `.domain` stand for all below them too), `host:port`, addresses, networks (10.0.0.0/8) and `*`.
    Addresses of the link itself, where containers ask for their credentials, are never asked by way of a proxy.

    Raises:
        Fatal: the variable does not name a proxy that can be used.
    """
    parts = urlsplit(url)
    schemes = [parts.scheme, "all"]
    if "REQUEST_METHOD" in environment:  # in a CGI program HTTP_PROXY is a header of the client's
        environment = {name: value for name, value in environment.items() if name != "HTTP_PROXY"}
    names = [name for scheme in schemes for name in (f"{scheme}_proxy", f"{scheme.upper()}_PROXY")]
    found = next(((name, environment[name].strip()) for name in names if environment.get(name, "").strip()), None)
    if found is None or _is_direct(parts.hostname or "", parts.port or _PORTS.get(parts.scheme), environment):
        return None
    return Proxy.parse(found[1], found[0])


_PORTS = {"http": 80, "https": 443}


def _is_direct(host: str, port: int | None, environment: Mapping[str, str]) -> bool:
    host = host.lower().rstrip(".")
    try:
        address = ip_address(host)
    except ValueError:
        address = None
    if address and address.is_link_local:
        return True
    entries = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    return any(_matches(entry.lower(), host, port) for entry in entries.replace(",", " ").split())


def _matches(entry: str, host: str, port: int | None) -> bool:
    """Whether an entry of NO_PROXY speaks of a host."""
    if entry == "*":
        return True
    try:
        return ip_address(host) in ip_network(entry.strip("[]"), strict=False)
    except ValueError:
        pass  # one of the two is a name, or has a port
    name, colon, number = entry.rpartition(":")
    if colon and number.isdigit():
        if int(number) != port:
            return False
        entry = name
    entry = entry.strip("[]").removeprefix("*").strip(".")
    return bool(entry) and (host == entry or host.endswith(f".{entry}"))

"""Proxies of the environment: whose, for which server, and what is told when one does not let us through."""

import base64
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

import pytest

from tests.services.exact_s3 import exact_s3
from tests.services.loopback import Quiet, serving
from tests.services.s3 import BUCKET, S3, bare
from unecho.components.failure import Fatal
from unecho.components.store import open_store
from unecho.components.store.s3.connection import Unreachable
from unecho.components.store.s3.proxies import Proxy, proxy_of

PASSWORD = "canary-of-a-password"


@pytest.mark.parametrize(
    ("environment", "url", "expected"),
    [
        ({}, "http://store:9000", None),
        ({"HTTP_PROXY": "http://a:1"}, "http://store:9000", "http://a:1"),
        ({"http_proxy": "http://a:1", "HTTP_PROXY": "http://b:2"}, "http://store", "http://a:1"),
        ({"HTTP_PROXY": "http://a:1"}, "https://store", None),
        ({"HTTPS_PROXY": "http://a:1", "HTTP_PROXY": "http://b:2"}, "https://store", "http://a:1"),
        ({"https_proxy": "a:1"}, "https://store", "http://a:1"),
        ({"HTTPS_PROXY": "https://a"}, "https://store", "https://a"),
        ({"HTTPS_PROXY": " http://a:1\n"}, "https://store", "http://a:1"),
        ({"ALL_PROXY": "http://a:1"}, "https://store", "http://a:1"),
        ({"all_proxy": "http://a:1"}, "http://store", "http://a:1"),
        ({"ALL_PROXY": "http://a:1", "HTTP_PROXY": "http://b:2"}, "http://store", "http://b:2"),
        ({"HTTP_PROXY": "", "ALL_PROXY": ""}, "http://store", None),
        ({"HTTP_PROXY": "http://[::1]:3128"}, "http://store", "http://[::1]:3128"),
        ({"HTTP_PROXY": "http://a:1", "REQUEST_METHOD": "GET"}, "http://store", None),
        ({"HTTP_PROXY": "http://a:1"}, "http://169.254.170.2/role", None),
    ],
)
def test_the_proxy_for_a_server(environment: dict[str, str], url: str, expected: str | None) -> None:
    found = proxy_of(url, environment)
    assert (found.url if found else None) == expected


@pytest.mark.parametrize(
    ("entries", "url", "direct"),
    [
        ("*", "http://store:9000", True),
        ("store", "http://store:9000", True),
        ("STORE", "http://store:9000", True),
        ("store", "http://Store.:9000", True),
        ("tore", "http://store:9000", False),
        ("other, store", "http://store:9000", True),
        ("other store", "http://store:9000", True),
        ("example.com", "http://s3.example.com", True),
        (".example.com", "http://s3.example.com", True),
        ("*.example.com", "http://s3.example.com", True),
        (".example.com", "http://example.com", True),
        ("example.com", "http://badexample.com", False),
        ("store:9000", "http://store:9000", True),
        ("store:9001", "http://store:9000", False),
        ("store:80", "http://store", True),
        ("store:443", "https://store", True),
        ("10.0.0.0/8", "http://10.2.3.4:9000", True),
        ("10.0.0.0/8", "http://11.2.3.4:9000", False),
        ("10.0.0.0/8", "http://store:9000", False),
        ("10.2.3.4", "http://10.2.3.4:9000", True),
        ("10.2.3.4:9000", "http://10.2.3.4:9000", True),
        ("fd00::/8", "http://[fd00::1]:9000", True),
        ("[fd00::1]:9000", "http://[fd00::1]:9000", True),
        ("", "http://store:9000", False),
        (",", "http://store:9000", False),
        (".", "http://store:9000", False),
    ],
)
@pytest.mark.parametrize("name", ["no_proxy", "NO_PROXY"])
def test_the_servers_that_no_proxy_is_asked_for(name: str, entries: str, url: str, direct: bool) -> None:
    assert (proxy_of(url, {"ALL_PROXY": "http://a:1", name: entries}) is None) == direct


@pytest.mark.parametrize(
    ("value", "line"),
    [
        (f"socks5://u:{PASSWORD}@a:1", "HTTP_PROXY: a proxy of kind socks5:// cannot be used"),
        (f"http://u:{PASSWORD}@", "HTTP_PROXY: not of the form http(s)://[USER:PASSWORD@]HOST[:PORT]"),
        (f"http://u:{PASSWORD}@a:port", "HTTP_PROXY: not of the form"),
        (f"http://u:{PASSWORD} @a:1", "HTTP_PROXY: not of the form"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_named_by_its_variable_without_its_password(value: str, line: str) -> None:
    with pytest.raises(Fatal) as caught:
        proxy_of("http://store", {"HTTP_PROXY": value})
    assert str(caught.value).startswith(line)
    assert PASSWORD not in str(caught.value)


def test_a_users_password_goes_into_the_header_and_nowhere_else() -> None:
    proxy = Proxy.parse(f"http://me%40home:{PASSWORD}@a:1", "HTTP_PROXY")
    expected = base64.b64encode(f"me@home:{PASSWORD}".encode()).decode()
    assert proxy.headers == {"proxy-authorization": f"Basic {expected}"}
    assert f"{proxy} {proxy!r} {proxy.url}".count(PASSWORD) == 0
    assert str(proxy) == "http://a:1 (HTTP_PROXY)"


@contextmanager
def forward_proxy(status: int | None = None) -> Iterator[tuple[str, list[tuple[str, str | None]]]]:
    """A proxy on loopback that passes requests on, or answers all of them with a status.

    Yields:
        Its address, and of each request what was asked for and as whom.
    """
    asked: list[tuple[str, str | None]] = []

    class Handler(Quiet, BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            asked.append((self.path, self.headers["Proxy-Authorization"]))
            body = self.rfile.read(int(self.headers["Content-Length"] or 0))
            if status:
                self.send_error(status)
                return
            request = Request(self.path, body or None, dict(self.headers), method=self.command)
            try:
                with build_opener(ProxyHandler({})).open(request) as found:
                    self._pass(found.status, found.headers, found.read())
            except HTTPError as error:
                self._pass(error.code, error.headers, error.read())

        def _pass(self, code: int, headers, body: bytes) -> None:
            self.send_response_only(code)
            for name, value in headers.items():
                if name.lower() not in ("transfer-encoding", "connection"):
                    self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_CONNECT = answer  # noqa: N815

    with serving(Handler) as address:
        yield address, asked


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_a_store_is_written_and_read_by_way_of_the_proxy(
    variable: str, s3: S3, s3_root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with forward_proxy() as (address, asked):
        monkeypatch.setenv(variable, f"http://me:{PASSWORD}@{address}")
        store = open_store(s3_root)
        assert store.create("record.json", b"bytes")
        assert store.get("record.json") == b"bytes"
        assert [stat.key for stat in store.list("")] == ["record.json"]
        store.delete(["record.json"])
        expected = "Basic " + base64.b64encode(f"me:{PASSWORD}".encode()).decode()
        assert len(asked) >= 5
        assert all(path.startswith(s3.endpoint) and who == expected for path, who in asked)
        monkeypatch.setenv("NO_PROXY", "127.0.0.0/8")
        asked.clear()
        open_store(s3_root).put("object", b"x")
        assert not asked


@pytest.mark.parametrize(("scheme", "variable"), [("http", "HTTP_PROXY"), ("https", "HTTPS_PROXY")])
@pytest.mark.parametrize(("status", "reason"), [(407, "it wants a user and a password (407)"), (403, "it answers 403")])
def test_a_proxy_that_refuses_is_one_line_with_its_name_and_at_once(
    scheme: str, variable: str, status: int, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare(monkeypatch)
    with forward_proxy(status) as (address, asked):
        point_at(monkeypatch, f"{scheme}://store.invalid")
        monkeypatch.setenv(variable, f"http://me:{PASSWORD}@{address}")
        with pytest.raises(Fatal) as caught:
            open_store("s3://bucket/x").get("key")
        line = str(caught.value)
        assert reason in line
        assert f"http://{address} ({variable})" in line
        assert PASSWORD not in line
        assert "\n" not in line
        assert len(asked) == 1, "another try cannot help"


def point_at(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("UNECHO_S3_PATIENCE_S", "0.2")


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_is_not_there_is_named_and_worth_another_try(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bare(monkeypatch)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    point_at(monkeypatch, f"{scheme}://store.invalid")
    monkeypatch.setenv("ALL_PROXY", f"http://me:{PASSWORD}@127.0.0.1:{port}")
    with pytest.raises(Unreachable) as caught:
        open_store(f"s3://{BUCKET}").get("key")
    proxy = f"the proxy http://127.0.0.1:{port} (ALL_PROXY)"
    assert str(caught.value).startswith(
        f"{scheme}://store.invalid by way of {proxy}: out of reach, tried for 0 s "
        f"(s3:GetObject s3://{BUCKET}/key: no connection to the proxy): check the server, the network and "
        "AWS_ENDPOINT_URL_S3, ALL_PROXY and NO_PROXY"
    )
    assert PASSWORD not in str(caught.value)


def test_another_proxy_error_is_told_as_it_is_told_without_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    bare(monkeypatch)
    with exact_s3("bucket", {"key": b"x"}) as (endpoint, _), forward_proxy() as (address, asked):
        point_at(monkeypatch, endpoint)
        monkeypatch.setenv("HTTP_PROXY", address)
        store = open_store("s3://bucket")
        assert store.get("key") == b"x"
        assert store.find("none") is None
        assert len(asked) == 2


def test_a_program_of_its_own_has_the_same_proxy(tmp_path: Path) -> None:
    """With an environment from outside, as a user has it."""
    with exact_s3("bucket", {"key": b"x"}) as (endpoint, _), forward_proxy() as (address, asked):
        environment = {name: value for name, value in os.environ.items() if "PROXY" not in name.upper()} | {
            "AWS_ENDPOINT_URL_S3": endpoint,
            "AWS_ACCESS_KEY_ID": "key\n",
            "AWS_SECRET_ACCESS_KEY": "secret\n",
            "HTTP_PROXY": f"http://{address}\n",
        }
        program = (
            "import json; from unecho.components.store import open_store; "
            "print(json.dumps([s.key for s in open_store('s3://bucket').list('')]))"
        )
        done = subprocess.run(
            [sys.executable, "-P", "-c", program], env=environment, cwd=tmp_path, capture_output=True, check=True
        )
        assert json.loads(done.stdout) == ["key"]
        assert len(asked) == 1

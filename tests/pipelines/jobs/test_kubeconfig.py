"""A kubeconfig that cannot be used is one line that names the file, the context and what to do; exit status 2."""

import base64
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.runs import tiny
from tests.services.loopback import Quiet, serving
from unecho.components.plan.step import plan
from unecho.components.run import Run
from unecho.pipelines.commands import main
from unecho.pipelines.jobs.cluster import connect
from unecho.pipelines.jobs.kubeconfig import NotUsable, load

CANARY = "canary-of-a-token"


def kubeconfig(
    user: dict[str, Any] | None = None, cluster: dict[str, Any] | None = None, **fields: Any
) -> dict[str, Any]:
    """A good one, with what is to be different."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"} | (cluster or {})}],
        "users": [{"name": "u", "user": {"token": CANARY} if user is None else user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", "namespace": "ns"}}],
        "current-context": "x",
    } | fields


def plugin(command: str, *args: str, **fields: Any) -> dict[str, Any]:
    return {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": command, "args": list(args)} | fields}


def says(status: dict[str, Any]) -> dict[str, Any]:
    """A plugin that gives a status."""
    answer = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}
    return plugin("echo", json.dumps(answer))


GCP = {"auth-provider": {"name": "azure", "config": {"access-token": CANARY, "expires-on": "1"}}}
CONTEXT = "{file}, context 'x': "
CASES: dict[str, tuple[Any, str]] = {
    "empty": ("", "{file}: empty"),
    "only a comment": ("# nothing\n", "{file}: empty"),
    "no YAML": (f"a: b: {CANARY}", "{file}: not YAML (line 1)"),
    "a list": ("[1]", "{file}: not a kubeconfig"),
    "a text": (CANARY, "{file}: not a kubeconfig"),
    "not UTF-8": (b"\xff\xfe", "{file}: not a text in UTF-8"),
    "control characters": ("a: \x00", "{file}: not YAML"),
    "contexts are a text": (kubeconfig(contexts="x"), "{file}: its contexts are no list"),
    "a user without a name": (kubeconfig(users=[{"user": {}}]), "{file}: entry 1 of its users has no name"),
    "a cluster that is a text": (kubeconfig(clusters=[{"name": "c", "cluster": "s"}]), "{file}: entry 1 of its cl"),
    "no current context": (kubeconfig(**{"current-context": ""}), "{file}: it has no current context: give --context"),
    "no such context": (kubeconfig(**{"current-context": "y"}), "{file}, context 'y': no such context (it has: x)"),
    "no such cluster": (kubeconfig(clusters=[]), CONTEXT + "it names cluster 'c', which is not there"),
    "no such user": (kubeconfig(users=[]), CONTEXT + "it names user 'u', which is not there"),
    "no cluster": (kubeconfig(contexts=[{"name": "x", "context": None}]), CONTEXT + "it names no cluster"),
    "no server": (kubeconfig(clusters=[{"name": "c", "cluster": None}]), CONTEXT + "the server of its cluster is None"),
    "an odd server": (kubeconfig(cluster={"server": "here:x"}), CONTEXT + "the server of its cluster is 'here:x'"),
    "no CA file": (kubeconfig(cluster={"certificate-authority": "ca.pem"}), CONTEXT + "File does not exist: "),
    "no certificate file": (kubeconfig({"client-certificate": "me.pem"}), CONTEXT + "File does not exist: "),
    "no token file": (kubeconfig({"tokenFile": "token"}), CONTEXT + "its user cannot be used (FileNotFoundError)"),
    "a CA that is none": (
        kubeconfig(cluster={"certificate-authority-data": base64.b64encode(b"no").decode()}),
        CONTEXT + "certificate-authority: ",
    ),
    "a CA that is no base64": (kubeconfig(cluster={"certificate-authority-data": "%"}), CONTEXT),
    "a token in two lines": (kubeconfig({"token": f"{CANARY}\n{CANARY}"}), CONTEXT + "its token has a line end"),
    "a token with a quote": (kubeconfig({"token": f"{CANARY}\u201d"}), CONTEXT + "its token has a line end or a char"),
    "no plugin": (kubeconfig(plugin("no-such-plugin")), CONTEXT + "its exec plugin no-such-plugin is not installed"),
    "no plugin there": (kubeconfig(plugin("./plugin")), CONTEXT + "its exec plugin ./plugin is not installed"),
    "a plugin that fails": (
        kubeconfig(plugin("sh", "-c", "echo please log in >&2; exit 3")),
        CONTEXT + "its exec plugin sh fails (exec: process returned 3. please log in): log in anew",
    ),
    "a plugin that says no JSON": (kubeconfig(plugin("echo", CANARY)), CONTEXT + "its exec plugin echo fails"),
    "a plugin that says a number": (kubeconfig(plugin("echo", "1")), CONTEXT + "its exec plugin echo gives no token"),
    "a plugin without a token": (kubeconfig(says({})), CONTEXT + "its exec plugin echo gives no token"),
    "a plugin with half a certificate": (
        kubeconfig(says({"clientCertificateData": CANARY})),
        CONTEXT + "its exec plugin echo gives no token",
    ),
    "a plugin without a command": (kubeconfig({"exec": {"apiVersion": "v1"}}), CONTEXT + "Invalid kube-config"),
    "an expired provider": (kubeconfig(GCP), CONTEXT + "its auth-provider azure gives no token ("),
    "a proxy of another kind": (
        kubeconfig(cluster={"proxy-url": f"socks5://u:{CANARY}@p:1"}),
        CONTEXT + "proxy-url: a proxy of kind socks5:// cannot be used",
    ),
}  # fmt: skip


@pytest.fixture(autouse=True)
def outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.lower().endswith("_proxy") or name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "500")


def write(path: Path, content: Any) -> Path:
    text = content if isinstance(content, str | bytes) else yaml.safe_dump(content, allow_unicode=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize("name", CASES)
def test_what_is_wrong_with_a_kubeconfig(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content, line = CASES[name]
    file = write(tmp_path / "config", content)
    monkeypatch.setenv("KUBECONFIG", str(file))
    with pytest.raises(NotUsable) as caught:
        connect()
    text = str(caught.value)
    assert text.startswith(f"kubeconfig {line.format(file=file)}")
    assert "\n" not in text
    assert CANARY not in text


def test_a_file_that_is_not_there_and_one_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotUsable, match=rf"^kubeconfig {tmp_path}/\.kube/config: no such file: set KUBECONFIG"):
        connect()
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path}/one:{tmp_path}/two")
    with pytest.raises(NotUsable, match=rf"^kubeconfig {tmp_path}/one:{tmp_path}/two: no such file"):
        connect()
    (tmp_path / "two").mkdir()
    with pytest.raises(NotUsable, match=rf"^kubeconfig {tmp_path}/two: cannot be read \(Is a directory\)"):
        connect()


def test_a_good_one_says_where_and_as_whom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text(f"{CANARY}\n")
    file = write(tmp_path / "config", kubeconfig({"tokenFile": "token"}))
    access = load(None, {"KUBECONFIG": str(file)})
    assert (access.settings.host, access.namespace) == ("https://127.0.0.1:1", "ns")
    assert access.settings.get_api_key_with_prefix("authorization") == f"Bearer {CANARY}"
    assert access.source == f"kubeconfig {file}, context 'x'"
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path}/none:{file}")
    assert connect(context="x").namespace == "ns"
    assert connect(namespace="other").namespace == "other"
    with pytest.raises(NotUsable, match=r"context 'y': no such context \(it has: x\)"):
        connect(context="y")


def test_a_plugin_that_works_gives_its_token(tmp_path: Path) -> None:
    file = write(tmp_path / "config", kubeconfig(says({"token": CANARY})))
    settings = load(None, {"KUBECONFIG": str(file)}).settings
    assert settings.get_api_key_with_prefix("authorization") == f"Bearer {CANARY}"


@pytest.mark.parametrize(
    ("named", "environment", "expected"),
    [
        (None, {}, None),
        (None, {"HTTPS_PROXY": "http://me:pw@p:1"}, "http://p:1"),
        (None, {"all_proxy": "p:1"}, "http://p:1"),
        (None, {"HTTP_PROXY": "http://p:1"}, None),
        (None, {"HTTPS_PROXY": "http://p:1", "NO_PROXY": ".example.com"}, None),
        (None, {"HTTPS_PROXY": "http://p:1", "no_proxy": "api.example.com:6443"}, None),
        ("http://me:pw@q:2", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}, "http://q:2"),
    ],
)
def test_the_proxy_of_the_kubeconfig_or_else_of_the_environment(
    named: str | None, environment: dict[str, str], expected: str | None, tmp_path: Path
) -> None:
    cluster = {"server": "https://api.example.com:6443"} | ({"proxy-url": named} if named else {})
    file = write(tmp_path / "config", kubeconfig(cluster=cluster))
    settings = load(None, environment | {"KUBECONFIG": str(file)}).settings
    assert settings.proxy == expected
    credentials = base64.b64encode(b"me:pw").decode()
    is_known = "me:pw" in str(named) + str(environment)
    assert (settings.proxy_headers or {}) == (
        {"proxy-authorization": f"Basic {credentials}"} if expected and is_known else {}
    )


def test_a_cluster_on_this_machine_is_asked_directly(tmp_path: Path) -> None:
    file = write(tmp_path / "config", kubeconfig())
    assert load(None, {"KUBECONFIG": str(file), "HTTPS_PROXY": "http://p:1"}).settings.proxy is None


@contextmanager
def answering(status: int, message: str) -> Iterator[tuple[str, list[str]]]:
    """An API server, or a proxy, that refuses all."""
    asked: list[str] = []

    class Handler(Quiet, BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            body = json.dumps({"kind": "Status", "message": message}).encode()
            self.send_response(status, message)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_CONNECT = do_GET  # noqa: N815  # http.server calls it so

    with serving(Handler) as address:
        yield address, asked


def test_an_expired_token_is_told_by_the_file_and_the_context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unecho.pipelines.jobs.cluster._REFUSED_S", 0.0)
    with answering(401, "Unauthorized") as (address, _):
        file = write(tmp_path / "config", kubeconfig(cluster={"server": f"http://{address}"}))
        monkeypatch.setenv("KUBECONFIG", str(file))
        with pytest.raises(NotUsable) as caught:
            connect().job("a")
    assert str(caught.value) == (
        f"kubeconfig {file}, context 'x': the API server does not accept its credentials (get job a: Unauthorized): "
        "they may have expired: log in anew"
    )


def test_the_api_server_is_asked_by_way_of_the_proxy_and_one_that_refuses_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with answering(407, "Who are you") as (address, asked):
        cluster = {"server": "https://api.invalid:6443", "proxy-url": f"http://me:{CANARY}@{address}"}
        file = write(tmp_path / "config", kubeconfig(cluster=cluster))
        monkeypatch.setenv("KUBECONFIG", str(file))
        with pytest.raises(NotUsable) as caught:
            connect().job("a")
    assert asked == ["api.invalid:6443"]
    assert str(caught.value) == (
        f"kubeconfig {file}, context 'x': the proxy http://{address} does not let the request through "
        "(Tunnel connection failed: 407 Who are you): check its user and password, or NO_PROXY"
    )


COMMANDS = {
    "run": ["run", "--engine", "jobs", "--root", "{root}", "--name", "a", "--preset", "tiny"],
    "compare": ["compare", "--engine", "jobs", "--root", "{root}", "--preset", "tiny"],
    "status": ["status", "{root}/runs/a", "--namespace", "ns"],
    "status of no run": ["status", "{root}/runs/none"],
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", ["no YAML", "no current context", "no plugin"])
def test_every_command_ends_with_that_line_and_status_2(
    command: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    content, line = CASES[name]
    file = write(tmp_path / "config", content)
    monkeypatch.setenv("KUBECONFIG", str(file))
    plan(Run.at(str(tmp_path / "root"), "a"), tiny())
    capsys.readouterr()
    assert main([part.format(root=tmp_path / "root") for part in COMMANDS[command]]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 1
    assert f"kubeconfig {line}".format(file=file) in errors[0]


def test_a_run_in_the_store_is_shown_beside_a_kubeconfig_that_nobody_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(write(tmp_path / "config", "a: b: c")))
    plan(Run.at(str(tmp_path / "root"), "a"), tiny())
    capsys.readouterr()
    assert main(["status", f"{tmp_path}/root/runs/a"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == "run a: planned, 3 rounds"
    assert shown[-1].startswith(f"kubeconfig {tmp_path}/config: not YAML (line 1)")

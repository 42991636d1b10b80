"""A small stand-in for Kubeflow Pipelines' HTTP API: it writes down what a client sends, and answers as little as a
client needs. It says nothing about what the real API does with it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.services import loopback

PREFIX = "/apis/v2beta1"


@dataclass(frozen=True)
class Request:
    """One request: path below the API's prefix, query, headers, body (parsed where it is JSON)."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


@dataclass
class KfpApi:
    """The stand-in.

    Attributes:
        requests: all of them, in order.
        states: what each run says it is when it is looked at, by its number; the last one stays.
        refusal: status and body that every request gets instead.
        location: of the refusal, where it is a redirect.
        healthy: healthz is answered all the same.
    """

    url: str = ""
    requests: list[Request] = field(default_factory=list)
    pipelines: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    experiments: list[dict[str, Any]] = field(default_factory=list)
    runs: list[dict[str, Any]] = field(default_factory=list)
    states: list[list[dict[str, Any]]] = field(default_factory=list)
    multi_user: bool = False
    refusal: tuple[int, str] | None = None
    location: str | None = None
    healthy: bool = False

    def sent(self, method: str, path: str) -> list[Request]:
        return [one for one in self.requests if (one.method, one.path) == (method, path)]

    def answer(self, request: Request) -> dict[str, Any]:
        match request.method, *request.path.strip("/").split("/"):
            case "GET", "healthz":
                return {"multi_user": self.multi_user}
            case "GET", "pipelines":
                return {"pipelines": [{"pipeline_id": name} for name in self.pipelines if name == _wanted(request)]}
            case "POST", "pipelines":
                self.pipelines[request.body["display_name"]] = []
                return {"pipeline_id": request.body["display_name"]}
            case "POST", "pipelines", "upload_version":
                versions = self.pipelines[request.query["pipelineid"]]
                number = len(versions) + 1
                versions.append({"display_name": request.query["name"], "pipeline_version_id": f"v{number}"})
                return versions[-1]
            case "GET", "pipelines", name, "versions":
                found = [one for one in self.pipelines[name] if one["display_name"] == _wanted(request)]
                return {"pipeline_versions": found}
            case "GET", "experiments":
                return {"experiments": [one for one in self.experiments if one["display_name"] == _wanted(request)]}
            case "POST", "experiments":
                self.experiments.append(request.body | {"experiment_id": "e1"})
                return self.experiments[-1]
            case "POST", "runs":
                self.runs.append(request.body | {"run_id": f"run-{len(self.runs)}"})
                return self.runs[-1]
            case "GET", "runs", id:
                states = self.states[int(id.rpartition("-")[2])]
                return {"run_id": id} | (states.pop(0) if len(states) > 1 else states[0])
        raise AssertionError(f"nobody asks for {request.method} {request.path}")


@contextmanager
def serving() -> Iterator[KfpApi]:
    """The stand-in on a loopback port."""
    api = KfpApi()

    class Handler(loopback.Quiet, BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._handle()

        def do_POST(self) -> None:
            self._handle()

        def _handle(self) -> None:
            parts = urlsplit(self.path)
            body: Any = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.headers.get("Content-Type", "").startswith("application/json") and body:
                body = json.loads(body)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Request(self.command, parts.path.removeprefix(PREFIX), query, headers, body)
            api.requests.append(request)
            refused = None if api.healthy and request.path == "/healthz" else api.refusal
            status, text = refused or (200, json.dumps(api.answer(request)))
            self.send_response(status)
            if refused and api.location:
                self.send_header("Location", api.location)
            self.send_header("Content-Type", "text/html" if text.startswith("<") else "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

    with loopback.serving(Handler) as address:
        api.url = f"http://{address}"
        yield api


def _wanted(request: Request) -> str:
    (predicate,) = json.loads(request.query["filter"])["predicates"]
    assert predicate["key"] == "display_name"
    value: str = predicate["stringValue"]
    return value

"""A small stand-in for Kubeflow Pipelines' HTTP API: it writes down what a client sends, and answers as little as a
client needs. It says nothing about what the real API does with it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import NAMESPACE_URL, uuid5

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
        recurring: recurring runs, as they stand.
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
    recurring: list[dict[str, Any]] = field(default_factory=list)
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
            case "GET", "recurringruns":
                found = [one for one in self.recurring if one["display_name"] == _wanted(request)]
                first = int(request.query.get("page_token") or 0)  # a page each, so that all are asked for
                more = {"next_page_token": str(first + 1)} if first + 1 < len(found) else {}
                return {"recurringRuns": found[first : first + 1], **more}
            case "POST", "recurringruns":
                account = {"service_account": "pipeline-runner"} | request.body
                self.recurring.append(account | {"recurring_run_id": f"recurring-{len(self.recurring)}"})
                return self.recurring[-1]
            case "POST", "recurringruns", call:
                id, _, word = call.partition(":")
                (one,) = (each for each in self.recurring if each["recurring_run_id"] == id)
                one["mode"] = word.upper()
                return {}
            case "GET", "runs":
                found = [one for one in self.runs if one["display_name"] == _wanted(request)]
                return {"runs": [one | {"state": self._state_of(one["run_id"])} for one in found]}
            case "GET", "runs", id:
                states = self.states[int(id.rpartition("-")[2])]
                return {"run_id": id} | (states.pop(0) if len(states) > 1 else states[0])
        raise AssertionError(f"nobody asks for {request.method} {request.path}")

    def _state_of(self, id: str) -> str:
        number = int(id.rpartition("-")[2])
        return str(self.states[number][0]["state"]) if number < len(self.states) else "PENDING"


WORKFLOW = "unecho-x7k2p"


class Workflow:
    """The tasks of a run as KFP 2.17 tells them: nodes of an Argo workflow, each with name, state and children's ids.

    A node is given by its path in the workflow, names joined by dots. The id of a child is a hash of its path; a node
    does not tell its own.
    """

    def __init__(self) -> None:
        self._tasks: list[dict[str, Any]] = []
        self._node("", WORKFLOW, "RUNNING", "root-driver")
        self.nested("root", "RUNNING")

    def details(self, state: str) -> dict[str, Any]:
        """A run in this state, its tasks in no order."""
        tasks = sorted(self._tasks, key=lambda task: str(task["task_id"]))
        return {"state": state, "run_details": {"task_details": tasks}}

    def pod(self, path: str, state: str, driver: str = "SUCCEEDED") -> "Workflow":
        """A task with a container: its driver, one try of that, itself, and its pod unless it is skipped or waits."""
        self._driver(path, driver)
        pod = [f"{path}.executor"] if state not in ("SKIPPED", "PENDING") else []
        self._named(path, state, *pod)
        for one in pod:
            self._named(one, state)
        return self

    def nested(self, path: str, state: str) -> "Workflow":
        """A pipeline in a pipeline, or a condition."""
        self._driver(path)
        self._named(path, state)
        return self

    def loop(self, path: str, state: str, iterations: int) -> "Workflow":
        """A loop, with the iterations that have begun."""
        items = [f"{path}.iteration-iterations({i}:{i})" for i in range(iterations)]
        self._named(path, state, f"{path}.iteration-driver")
        self._driver(f"{path}.iteration")
        self._named(f"{path}.iteration-iterations", state, *items)
        for item in items:
            self._named(item, state, f"{item}.iteration-item-driver")
            self.nested(f"{item}.iteration-item", state)
        return self

    def _driver(self, path: str, state: str = "SUCCEEDED") -> None:
        self._named(f"{path}-driver", state, f"{path}-driver(0)")
        self._named(f"{path}-driver(0)", state, path)

    def _named(self, path: str, state: str, *children: str) -> None:
        self._node(path, path.rpartition(".")[2], state, *children)

    def _node(self, path: str, name: str, state: str, *children: str) -> None:
        self._tasks.append(
            {
                "task_id": str(uuid5(NAMESPACE_URL, path)),
                "display_name": name,
                "state": state,
                "start_time": f"2026-01-01T00:{len(self._tasks) // 60:02}:{len(self._tasks) % 60:02}Z",
                "child_tasks": [{"pod_name": f"{WORKFLOW}-{_fnv1a(f'{WORKFLOW}.{child}')}"} for child in children],
            }
        )


def _fnv1a(text: str) -> int:
    """FNV-1a of 32 bits, as its authors define it."""
    value = 2166136261
    for octet in text.encode():
        value = (value ^ octet) * 16777619 % 2**32
    return value


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

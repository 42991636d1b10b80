"""A small MLflow server on loopback: the REST calls of a run, its experiment and its metrics, kept in memory.

MLflow's own server is not part of mlflow-skinny. Source: MLflow's REST API 2.0.
"""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.services.loopback import Quiet, serving

Message = dict[str, Any]


@dataclass
class MLflow:
    """What it was told.

    Attributes:
        runs: by id.
        asked: the calls so far.
        authorizations: the headers of that name.
        status: it answers every call so; 200 for as it should.
    """

    address: str = ""
    experiments: dict[str, str] = field(default_factory=dict)
    runs: dict[str, Message] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    authorizations: set[str | None] = field(default_factory=set)
    status: int = 200
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, call: str, body: Message) -> tuple[int, Message]:
        """One call."""
        with self.lock:
            self.asked.append(call)
            if self.status != 200:
                return self.status, {"error_code": "INTERNAL_ERROR", "message": "out of order"}
            name = re.sub(r"\W", "_", call)
            found: tuple[int, Message] = getattr(self, f"_{name}")(body)
            return found

    def _experiments_get_by_name(self, body: Message) -> tuple[int, Message]:
        name = body["experiment_name"]
        if name not in self.experiments:
            return 404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": f"no experiment {name}"}
        return 200, {"experiment": {"experiment_id": self.experiments[name], "name": name}}

    def _experiments_create(self, body: Message) -> tuple[int, Message]:
        self.experiments[body["name"]] = str(len(self.experiments) + 1)
        return 200, {"experiment_id": self.experiments[body["name"]]}

    def _runs_search(self, body: Message) -> tuple[int, Message]:
        wanted = re.fullmatch(r"tags\.`(.+)` = '(.+)'", body["filter"])
        assert wanted
        tag = {"key": wanted[1], "value": wanted[2]}
        return 200, {"runs": [run for run in self.runs.values() if tag in run["data"]["tags"]]}

    def _runs_create(self, body: Message) -> tuple[int, Message]:
        id = f"run-{len(self.runs)}"
        info = {"run_id": id, "run_uuid": id, "status": "RUNNING", "lifecycle_stage": "active"}
        info |= {name: body[name] for name in ("experiment_id", "run_name", "start_time")}
        self.runs[id] = {"info": info, "data": {"metrics": [], "params": [], "tags": body["tags"]}}
        return 200, {"run": self.runs[id]}

    def _runs_log_batch(self, body: Message) -> tuple[int, Message]:
        for kind in ("metrics", "params"):
            self.runs[body["run_id"]]["data"][kind] += body.get(kind, [])
        return 200, {}

    def _metrics_get_history(self, body: Message) -> tuple[int, Message]:
        metrics = self.runs[body["run_id"]]["data"]["metrics"]
        return 200, {"metrics": [metric for metric in metrics if metric["key"] == body["metric_key"]]}

    def _runs_get(self, body: Message) -> tuple[int, Message]:
        return 200, {"run": self.runs[body["run_id"]]}

    def _runs_set_tag(self, body: Message) -> tuple[int, Message]:
        self.runs[body["run_id"]]["data"]["tags"].append({"key": body["key"], "value": body["value"]})
        return 200, {}

    def _runs_update(self, body: Message) -> tuple[int, Message]:
        info = self.runs[body["run_id"]]["info"]
        info.update({name: body[name] for name in ("status", "end_time") if name in body})
        return 200, {"run_info": info}


@contextmanager
def mlflow_server() -> Iterator[MLflow]:
    """Serve until the end of the block."""
    mlflow = MLflow()

    class Handler(Quiet, BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer({name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()})

        def do_POST(self) -> None:
            self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        do_PATCH = do_POST  # noqa: N815  # http.server calls it so

        def _answer(self, body: Message) -> None:
            mlflow.authorizations.add(self.headers["Authorization"])
            call = urlsplit(self.path).path.removeprefix("/api/2.0/mlflow/")
            status, said = mlflow.answer(call, body)
            data = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    with serving(Handler) as address:
        mlflow.address = address
        yield mlflow


@contextmanager
def hanging() -> Iterator[str]:
    """A server that takes every call and answers none until the end of the block; its address."""
    ended = threading.Event()

    class Handler(Quiet, BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            ended.wait(60)

        do_POST = do_GET  # noqa: N815  # http.server calls it so

    with serving(Handler) as address:
        try:
            yield address
        finally:
            ended.set()

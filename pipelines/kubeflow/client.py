"""Kubeflow Pipelines' API, as far as a submission needs it. Its errors are one line each."""

import hashlib
import io
import json
import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import kfp_server_api
from kfp.client import ServiceAccountTokenVolumeCredentials
from urllib3.exceptions import HTTPError

from ...components.failure import Fatal
from ...components.run.records import code_version
from .healthz import AskingOnce, cause, first_line, refusal, shown
from .nodes import Node

TOKEN_FILE: Final = "KF_PIPELINES_SA_TOKEN_PATH"
"""kfp's own variable: a file with a bearer token, such as a projected service account token."""
_POD_TOKEN: Final = Path("/var/run/secrets/kubeflow/pipelines/token")
_EQUALS: Final = 1
_FINAL: Final = ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")


@dataclass(frozen=True)
class Version:
    """A pipeline that has been uploaded."""

    pipeline_id: str
    version_id: str


@dataclass(frozen=True)
class RunState:
    """A run as the API tells it.

    Attributes:
        state: SUCCEEDED, FAILED, CANCELED, or one that is no end.
        nodes: of its workflow, in the order in which they started.
    """

    state: str
    nodes: tuple[Node, ...]

    @property
    def ended(self) -> bool:
        return self.state in _FINAL


class Kubeflow:
    """A connection to Kubeflow Pipelines."""

    def __init__(
        self, host: str | None, namespace: str | None = None, token_file: Path | None = None, ca: Path | None = None
    ) -> None:
        """
        Args:
            host: URL; None takes KF_PIPELINES_ENDPOINT, or what kfp's client finds (in a pod, in the kubeconfig).
            namespace: the user's, where Kubeflow has many; None takes what kfp's client is configured with.
            token_file: read at each request, so a renewed token is used; None takes the file named by
                KF_PIPELINES_SA_TOKEN_PATH, or the pod's own. kfp's own context file may give cookies.
            ca: of the server's certificate.

        Raises:
            Fatal: it refuses us, or something else answers.
            OSError: it cannot be reached; within some seconds.
        """
        self._host = (host or os.environ.get("KF_PIPELINES_ENDPOINT") or "").rstrip("/")
        self._namespace = namespace
        self._has_credentials = False
        with self._one_line_errors():
            self._client = AskingOnce(
                host=self._host or None,
                namespace=namespace or "kubeflow",
                credentials=_credentials(token_file),
                ssl_ca_cert=str(ca) if ca else None,
            )
            self._has_credentials = self._client.has_credentials
            self._client.get_kfp_healthz()

    def upload(self, path: Path, name: str, description: str) -> Version:
        """Upload a version of a pipeline, which is made if it is not there; a version that is there already is taken.

        kfp's `upload_pipeline` would make the pipeline with a first version of its name, the same file once more.
        """
        with self._one_line_errors():
            label = f"{code_version()}-{hashlib.sha256(path.read_bytes()).hexdigest()[:12]}"
            found = self._client.list_pipelines(filter=named(name), namespace=self._namespace).pipelines
            if found:
                pipeline_id = found[0].pipeline_id
            else:
                made = kfp_server_api.V2beta1Pipeline(
                    display_name=name, description=description, namespace=self._namespace
                )
                pipeline_id = self._client.pipelines.pipeline_service_create_pipeline(made).pipeline_id
            versions = self._client.list_pipeline_versions(pipeline_id, filter=named(label)).pipeline_versions
            version = (
                versions[0]
                if versions
                else self._client.upload_pipeline_version(str(path), label, pipeline_id, description=description)
            )
            return Version(pipeline_id, version.pipeline_version_id)

    def start(
        self, version: Version, experiment: str, name: str, form: Mapping[str, Any], service_account: str | None = None
    ) -> str:
        """Create a run in an experiment, which is made if it is not there; its id."""
        with self._one_line_errors():
            made = self._client.create_experiment(experiment, namespace=self._namespace)
            run = self._client.run_pipeline(
                made.experiment_id,
                name,
                params=dict(form),
                pipeline_id=version.pipeline_id,
                version_id=version.version_id,
                service_account=service_account,
            )
            return str(run.run_id)

    def underway(self, name: str) -> str | None:
        """The id of a run of that name that has not ended; None where there is none."""
        with self._one_line_errors():
            found = self._client.list_runs(namespace=self._namespace, filter=named(name), page_size=100).runs or []
            return next((str(run.run_id) for run in found if str(run.state) not in _FINAL), None)

    def state(self, run_id: str) -> RunState:
        """How far a run is."""
        with self._one_line_errors():
            run = self._client.get_run(run_id)
            tasks = (run.run_details and run.run_details.task_details) or []
            nodes = [_node(task) for task in tasks if task.state and task.display_name]
            nodes.sort(key=lambda node: (node.started is None, node.started))
            return RunState(str(run.state), tuple(nodes))

    def link(self, run_id: str) -> str:
        """Where the UI shows a run."""
        ui = os.environ.get("KF_PIPELINES_UI_ENDPOINT", self._host).rstrip("/")
        return f"{shown(ui)}/#/runs/details/{run_id}"

    @contextmanager
    def _one_line_errors(self) -> Iterator[None]:
        """kfp's client prints and warns; its errors are bodies of several lines."""
        where = shown(self._host) or "Kubeflow Pipelines"
        silent = logging.root.manager.disable
        try:
            with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
                warnings.simplefilter("ignore")
                logging.disable(logging.CRITICAL)
                yield
        except kfp_server_api.ApiException as error:
            raise refusal(where, error.status or 0, error.reason, error.body, self._has_credentials) from None
        except (HTTPError, TimeoutError) as error:
            raise OSError(f"{where}: cannot be reached: {cause(error)}") from None
        except (ValueError, AttributeError, TypeError) as error:  # a login page, or another program
            raise Fatal(f"{where}: does not answer as Kubeflow Pipelines does: {first_line(str(error))}") from None
        finally:
            logging.disable(silent)


def _credentials(token_file: Path | None) -> ServiceAccountTokenVolumeCredentials | None:
    path = token_file or Path(os.environ.get(TOKEN_FILE) or _POD_TOKEN)
    if not path.is_file():
        if token_file:
            raise Fatal(f"--token-file {token_file}: no such file")
        return None
    return ServiceAccountTokenVolumeCredentials(path=str(path))


def _node(task: kfp_server_api.V2beta1PipelineTaskDetail) -> Node:
    children = tuple(child.pod_name for child in task.child_tasks or () if child.pod_name)
    error = first_line(task.error.message or "") if task.error else ""
    return Node(task.task_id, task.display_name, str(task.state), children, task.start_time, error)


def named(name: str) -> str:
    """The API's filter for what has a name."""
    predicate = {"operation": _EQUALS, "key": "display_name", "stringValue": name}
    return json.dumps({"predicates": [predicate]})

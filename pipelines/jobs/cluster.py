"""The Kubernetes API, asked with patience."""

import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from ...components.failure import Fatal

Note = Callable[[str], None]

_NAMESPACE_FILE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_PATIENCE_S: Final = 300.0
"""How long the API server may stay away."""
_REFUSED_S: Final = 10.0
"""How long a refusal may last: an API server that has just started refuses what it will allow."""
_TIMEOUT_S: Final = (5, 30)


class Unreachable(OSError):
    """The API server stayed away: worth another try."""


class Cluster:
    """One namespace of a cluster.

    Every method waits for an API server that is away, up to five minutes, and tells so.

    Raises (every method):
        Fatal: refused (RBAC), or the request is not valid; names what was asked for.
        Unreachable: the API server stayed away.
    """

    def __init__(self, api: client.ApiClient, namespace: str, inside: bool, patience_s: float = _PATIENCE_S) -> None:
        self.namespace, self.inside = namespace, inside
        self.note: Note = lambda line: None
        self._api, self._patience_s = api, patience_s
        self._core, self._batch = client.CoreV1Api(api), client.BatchV1Api(api)

    def template(self, name: str) -> dict[str, Any]:
        """The pod template of a PodTemplate, as plain data.

        Raises:
            Fatal: there is none of that name.
        """
        found = self._ask(f"get podtemplate {name}", self._core.read_namespaced_pod_template, name, self.namespace)
        if found is None:
            raise Fatal(
                f"podtemplate {name}: not in namespace {self.namespace}: it says what pods look like; "
                "kubectl apply -k manifests/pods puts it there"
            )
        return dict(self._api.sanitize_for_serialization(found.template))

    def config_map(self, name: str) -> Any | None:
        """A ConfigMap, or None."""
        return self._ask(f"get configmap {name}", self._core.read_namespaced_config_map, name, self.namespace)

    def create_config_map(self, body: dict[str, Any]) -> Any | None:
        """A new ConfigMap; None where one of its name is there already."""
        what = f"create configmap {body['metadata']['name']}"
        return self._ask(what, self._core.create_namespaced_config_map, self.namespace, body)

    def patch_config_map(self, name: str, body: dict[str, Any]) -> Any | None:
        """Merge into a ConfigMap; None where it has gone, or is another by now."""
        return self._ask(f"patch configmap {name}", self._core.patch_namespaced_config_map, name, self.namespace, body)

    def job(self, name: str) -> Any | None:
        """A Job, or None."""
        return self._ask(f"get job {name}", self._batch.read_namespaced_job, name, self.namespace)

    def create_job(self, body: dict[str, Any]) -> Any | None:
        """A new Job; None where one of its name is there already."""
        what = f"create job {body['metadata']['name']}"
        return self._ask(what, self._batch.create_namespaced_job, self.namespace, body)

    def delete_job(self, job: Any) -> None:
        """Remove this very Job and its pods, if it is still there."""
        options = client.V1DeleteOptions(
            propagation_policy="Background", preconditions=client.V1Preconditions(uid=job.metadata.uid)
        )
        name = job.metadata.name
        self._ask(f"delete job {name}", self._batch.delete_namespaced_job, name, self.namespace, body=options)

    def jobs(self, selector: str) -> list[Any]:
        """Jobs by label."""
        return self._list("jobs", self._batch.list_namespaced_job, label_selector=selector)

    def pods(self, selector: str) -> list[Any]:
        """Pods by label."""
        return self._list("pods", self._core.list_namespaced_pod, label_selector=selector)

    def warnings(self, job: Any) -> list[Any]:
        """Warning events about a Job, the newest last."""
        named = f"involvedObject.kind=Job,involvedObject.name={job.metadata.name}"
        about = f"{named},involvedObject.uid={job.metadata.uid},type=Warning"
        found = self._list("events", self._core.list_namespaced_event, field_selector=about)
        return sorted(found, key=lambda event: str(event.last_timestamp or event.event_time or ""))

    def log_tail(self, pod: str, lines: int) -> str:
        """The last lines of a pod's log; nothing where there is none yet."""
        try:
            found = self._core.read_namespaced_pod_log(
                pod, self.namespace, tail_lines=lines, _request_timeout=_TIMEOUT_S
            )
        except (ApiException, HTTPError, OSError):
            return ""
        return str(found)

    def warn(self, config_map: Any, reason: str, line: str) -> None:
        """Leave a Warning event on a ConfigMap, for `kubectl get events` and `kubectl describe`."""
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        meta = config_map.metadata
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"generateName": f"{meta.name[:200]}-", "namespace": self.namespace},
            "type": "Warning",
            "reason": reason,
            "message": line[:1024],
            "involvedObject": {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "name": meta.name,
                "namespace": self.namespace,
                "uid": meta.uid,
            },
            "source": {"component": "unecho"},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        self._ask("create event", self._core.create_namespaced_event, self.namespace, event)

    def _list(self, kind: str, call: Callable[..., Any], **selector: str) -> list[Any]:
        found = self._ask(f"list {kind}", call, self.namespace, **selector)
        return list(found.items) if found else []

    def _ask(self, what: str, call: Callable[..., Any], *args: Any, **options: Any) -> Any | None:
        """Make one call to its end; None when the object is not there, or is not the one that was meant."""
        began, silent = time.monotonic(), True
        while True:
            try:
                return call(*args, **options, _request_timeout=_TIMEOUT_S)
            except ApiException as error:
                if error.status in (404, 409):
                    return None
                reason = _message(error)
                refused = error.status in (401, 403)
                if not refused and error.status not in (0, 429) and error.status < 500:
                    raise Fatal(f"cluster: {what}: {reason}") from None
                if refused and time.monotonic() - began > _REFUSED_S:
                    raise Fatal(
                        f"cluster: {what} in namespace {self.namespace}: refused: {reason}: "
                        "manifests/base/rbac.yaml has the rights that are needed"
                    ) from None
            except (HTTPError, OSError) as error:
                reason = f"the API server does not answer ({type(error).__name__})"
            if time.monotonic() - began > self._patience_s:
                raise Unreachable(f"cluster: {what}: {reason}, for {self._patience_s:.0f} s")
            if silent and time.monotonic() - began > 2:
                silent = False
                self.note(f"cluster: {what}: {reason}: waiting")
            time.sleep(1)


def connect(context: str | None = None, namespace: str | None = None, patience_s: float = _PATIENCE_S) -> Cluster:
    """The cluster that this pod runs in, else the kubeconfig's.

    Args:
        context: of the kubeconfig; None: in a pod the pod's own cluster, elsewhere the current context.
        namespace: None: the pod's own, or the context's.
        patience_s: how long the API server may stay away.

    Raises:
        Fatal: there is no cluster to talk to, or no such context.
    """
    inside = context is None and not os.environ.get("KUBECONFIG") and "KUBERNETES_SERVICE_HOST" in os.environ
    settings = client.Configuration()
    try:
        if inside:
            config.load_incluster_config(client_configuration=settings)
            here = _NAMESPACE_FILE.read_text().strip()
        else:
            config.load_kube_config(os.environ.get("KUBECONFIG"), context, client_configuration=settings)
            here = _context_namespace(context)
    except (config.ConfigException, OSError) as error:
        raise Fatal(f"cluster: {error}: set KUBECONFIG, or give --context") from None
    settings.retries = 0  # the waiting is done here
    return Cluster(client.ApiClient(settings), namespace or here, inside, patience_s)


def _context_namespace(name: str | None) -> str:
    contexts, active = config.list_kube_config_contexts(os.environ.get("KUBECONFIG"))
    chosen: Sequence[Any] = [entry for entry in contexts if entry["name"] == name] if name else [active]
    return str(chosen[0]["context"].get("namespace") or "default")


def _message(error: ApiException) -> str:
    """The API server's own message, in one line."""
    try:
        message = json.loads(error.body)["message"]
    except (TypeError, ValueError, KeyError):
        message = error.reason or f"status {error.status}"
    return " ".join(str(message).split())
